"""Textures of object faces. Every face is seen from outside: u runs to the right, v down.

On the left side the front of the object is at the left end of the texture, on the right side at its right end; on the
top the front is the upper end.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

FACES = ('front', 'rear', 'left', 'right', 'top')
Colour = tuple[int, int, int]
_GLASS, _TYRE, _RIM, _TRIM = (40, 52, 66), (18, 18, 20), (135, 138, 142), (48, 48, 52)
_HEADLIGHT, _TAILLIGHT, _PLATE = (255, 250, 215), (225, 20, 20), (235, 225, 140)
_SKIN, _HAIR = (205, 160, 130), (60, 42, 30)


class Canvas:
    """A face to paint on, in relative coordinates: (0, 0) is its upper left, (1, 1) its lower right corner."""

    def __init__(self, width: int, height: int, colour: Colour) -> None:
        self.pixels = np.empty((height, width, 3), dtype=np.uint8)
        self.pixels[:] = colour

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """Fills a rectangle."""
        height, width = self.pixels.shape[:2]
        rows = slice(round(y0 * height), max(round(y1 * height), round(y0 * height) + 1))
        columns = slice(round(x0 * width), max(round(x1 * width), round(x0 * width) + 1))
        self.pixels[rows, columns] = colour

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Fills a circle; ``radius`` is relative to the height."""
        height, width = self.pixels.shape[:2]
        cv2.circle(self.pixels, (round(x * width), round(y * height)), round(radius * height), colour, -1)

    def wheel(self, x: float, radius: float) -> None:
        """A wheel that stands on the lower edge."""
        self.disc(x, 1 - radius, radius, _TYRE)
        self.disc(x, 1 - radius, 0.5 * radius, _RIM)

    def shade(self) -> np.ndarray:
        """Returns the face, darkened towards its lower edge."""
        ramp = np.linspace(1.06, 0.84, len(self.pixels))[:, None, None]
        return np.clip(self.pixels * ramp, 0, 255).astype(np.uint8)


def paint(style: str, size: tuple[float, float, float], colour: Colour) -> dict[str, np.ndarray]:
    """Paints the visible faces of an object.

    Args:
        style: name of a painter, see :class:`.catalogue.Kind`.
        size: (width, length, height) in metres.
        colour: of the body.

    Returns:
        A texture (h, w, 3) uint8 by name of the face, see :data:`FACES`.
    """
    width, length, height = size
    extents = {'front': (width, height), 'rear': (width, height), 'left': (length, height), 'top': (width, length)}
    painter = _PAINTERS[style]
    textures = {}
    for face, (across, down) in extents.items():
        canvas = Canvas(_pixels(across), _pixels(down), colour)
        painter(canvas, face, colour)
        textures[face] = canvas.pixels if face == 'top' else canvas.shade()
    textures['right'] = np.ascontiguousarray(textures['left'][:, ::-1])
    return textures


def _pixels(metres: float) -> int:
    """28 pixels per metre, with a lower and an upper limit."""
    return int(np.clip(28 * metres, 24, 256))


def _darker(colour: Colour, factor: float) -> Colour:
    red, green, blue = (int(np.clip(channel * factor, 0, 255)) for channel in colour)
    return red, green, blue


def _lamps(canvas: Canvas, face: str, y: float = 0.58) -> None:
    """Head or tail lights and a number plate."""
    lamp = _HEADLIGHT if face == 'front' else _TAILLIGHT
    for x in (0.04, 0.76):
        canvas.box(x, y, x + 0.2, y + 0.13, lamp)
    canvas.box(0.38, y + 0.14, 0.62, y + 0.22, _PLATE)
    canvas.box(0.0, 0.88, 1.0, 1.0, _TRIM)


def _car(canvas: Canvas, face: str, colour: Colour) -> None:
    if face in ('front', 'rear'):
        canvas.box(0.1, 0.07, 0.9, 0.44, _GLASS)
        _lamps(canvas, face)
        if face == 'front':
            canvas.box(0.3, 0.6, 0.7, 0.7, _TRIM)
    elif face == 'left':
        canvas.box(0.2, 0.07, 0.52, 0.42, _GLASS)
        canvas.box(0.55, 0.07, 0.88, 0.42, _GLASS)
        canvas.box(0.0, 0.9, 1.0, 1.0, _TRIM)
        canvas.box(0.0, 0.52, 0.035, 0.64, _HEADLIGHT)
        canvas.box(0.965, 0.52, 1.0, 0.64, _TAILLIGHT)
        for x in (0.19, 0.8):
            canvas.wheel(x, 0.21)
    else:
        canvas.box(0.06, 0.0, 0.94, 0.2, _darker(colour, 0.9))
        canvas.box(0.1, 0.22, 0.9, 0.4, _GLASS)
        canvas.box(0.12, 0.86, 0.88, 0.94, _GLASS)


def _truck(canvas: Canvas, face: str, colour: Colour) -> None:
    cargo = (188, 186, 178)
    if face == 'front':
        canvas.box(0.06, 0.22, 0.94, 0.52, _GLASS)
        canvas.box(0.2, 0.6, 0.8, 0.72, _TRIM)
        _lamps(canvas, face, 0.72)
    elif face == 'rear':
        canvas.box(0.0, 0.0, 1.0, 1.0, cargo)
        canvas.box(0.49, 0.0, 0.51, 0.78, _darker(cargo, 0.6))
        _lamps(canvas, face, 0.74)
    elif face == 'left':
        canvas.box(0.27, 0.0, 1.0, 0.78, cargo)
        canvas.box(0.25, 0.0, 0.28, 0.8, _TRIM)
        canvas.box(0.04, 0.2, 0.2, 0.5, _GLASS)
        canvas.box(0.0, 0.8, 1.0, 1.0, _TRIM)
        for x in (0.13, 0.72, 0.88):
            canvas.wheel(x, 0.15)
    else:
        canvas.box(0.0, 0.27, 1.0, 1.0, _darker(cargo, 1.1))
        canvas.box(0.1, 0.02, 0.9, 0.1, _GLASS)


def _bus(canvas: Canvas, face: str, colour: Colour) -> None:
    if face in ('front', 'rear'):
        canvas.box(0.05, 0.16 if face == 'front' else 0.2, 0.95, 0.6 if face == 'front' else 0.45, _GLASS)
        if face == 'front':
            canvas.box(0.25, 0.03, 0.75, 0.13, (250, 170, 30))
        _lamps(canvas, face, 0.74)
    elif face == 'left':
        for x in np.arange(0.03, 0.92, 0.11):
            canvas.box(x, 0.16, x + 0.09, 0.52, _GLASS)
        canvas.box(0.0, 0.62, 1.0, 0.67, (240, 240, 240))
        canvas.box(0.0, 0.93, 1.0, 1.0, _TRIM)
        for x in (0.15, 0.8):
            canvas.wheel(x, 0.15)
    else:
        canvas.box(0.0, 0.0, 1.0, 1.0, (222, 222, 218))
        for y in (0.2, 0.5, 0.75):
            canvas.box(0.25, y, 0.75, y + 0.1, (150, 152, 155))


def _trailer(canvas: Canvas, face: str, colour: Colour) -> None:
    dark = _darker(colour, 0.72)
    if face == 'top':
        canvas.box(0.47, 0.0, 0.53, 1.0, dark)
        return
    canvas.box(0.0, 0.8, 1.0, 1.0, _TRIM)
    if face == 'left':
        for x in np.arange(0.0, 1.0, 0.07):
            canvas.box(x, 0.0, x + 0.012, 0.8, dark)
        canvas.box(0.1, 0.3, 0.9, 0.42, (60, 95, 150))
        for x in (0.7, 0.8, 0.9):
            canvas.wheel(x, 0.13)
    elif face == 'rear':
        canvas.box(0.48, 0.0, 0.52, 0.8, dark)
        for x in (0.03, 0.82):
            canvas.box(x, 0.82, x + 0.15, 0.9, _TAILLIGHT)
    else:
        canvas.box(0.4, 0.84, 0.6, 0.98, _RIM)


def _construction(canvas: Canvas, face: str, colour: Colour) -> None:
    black = (30, 28, 26)
    if face == 'top':
        canvas.box(0.25, 0.45, 0.75, 0.8, black)
        return
    canvas.box(0.0, 0.72, 1.0, 1.0, black)
    if face == 'left':
        canvas.box(0.45, 0.05, 0.75, 0.42, _GLASS)
        canvas.box(0.0, 0.0, 0.35, 0.25, (90, 85, 75))
        for x in np.arange(0.04, 0.96, 0.12):
            canvas.disc(x + 0.04, 0.86, 0.09, (85, 80, 75))
        for x in np.arange(0.0, 1.0, 0.16):
            canvas.box(x, 0.58, x + 0.08, 0.66, black)
        return
    canvas.box(0.25, 0.05, 0.75, 0.4, _GLASS)
    for x in np.arange(0.0, 1.0, 0.24):
        canvas.box(x, 0.52, x + 0.12, 0.64, black)
    for x in (0.06, 0.84):
        canvas.box(x, 0.42, x + 0.1, 0.5, _HEADLIGHT if face == 'front' else _TAILLIGHT)


def _police(canvas: Canvas, face: str, colour: Colour) -> None:
    _car(canvas, face, colour)
    if face == 'left':
        canvas.box(0.0, 0.5, 1.0, 0.62, (25, 60, 170))
        canvas.box(0.45, 0.0, 0.55, 0.06, (40, 70, 255))
    elif face == 'top':
        canvas.box(0.1, 0.5, 0.5, 0.6, (40, 70, 255))
        canvas.box(0.5, 0.5, 0.9, 0.6, (255, 40, 40))
    else:
        canvas.box(0.2, 0.0, 0.5, 0.06, (40, 70, 255))
        canvas.box(0.5, 0.0, 0.8, 0.06, (255, 40, 40))


def _ambulance(canvas: Canvas, face: str, colour: Colour) -> None:
    red = (210, 30, 35)
    if face == 'top':
        canvas.box(0.1, 0.1, 0.9, 0.16, (40, 70, 255))
        canvas.box(0.35, 0.5, 0.65, 0.55, red)
        canvas.box(0.45, 0.42, 0.55, 0.63, red)
        return
    canvas.box(0.0, 0.0, 1.0, 0.06, (40, 70, 255))
    canvas.box(0.0, 0.55, 1.0, 0.65, red)
    if face == 'left':
        canvas.box(0.08, 0.2, 0.24, 0.48, _GLASS)
        canvas.box(0.58, 0.16, 0.62, 0.5, red)
        canvas.box(0.54, 0.28, 0.66, 0.38, red)
        for x in (0.18, 0.8):
            canvas.wheel(x, 0.16)
        return
    canvas.box(0.1, 0.16, 0.9, 0.48, _GLASS)
    _lamps(canvas, face, 0.68)


def _cycle(canvas: Canvas, face: str, colour: Colour) -> None:
    if face == 'top':
        canvas.box(0.3, 0.35, 0.7, 0.6, _HAIR)
        return
    if face == 'left':
        canvas.box(0.0, 0.0, 1.0, 1.0, _darker(colour, 0.55))
        canvas.box(0.36, 0.18, 0.68, 0.62, colour)
        canvas.disc(0.5, 0.1, 0.1, _SKIN)
        for x in (0.2, 0.8):
            canvas.wheel(x, 0.2)
        canvas.box(0.2, 0.6, 0.8, 0.7, _RIM)
        canvas.box(0.0, 0.48, 0.06, 0.58, _HEADLIGHT)
        canvas.box(0.94, 0.48, 1.0, 0.58, _TAILLIGHT)
        return
    canvas.box(0.38, 0.5, 0.62, 1.0, _TYRE)
    canvas.disc(0.5, 0.1, 0.1, _SKIN if face == 'front' else _HAIR)
    canvas.box(0.36, 0.48, 0.64, 0.58, _HEADLIGHT if face == 'front' else _TAILLIGHT)


def _person(canvas: Canvas, face: str, colour: Colour) -> None:
    if face == 'top':
        canvas.box(0.2, 0.2, 0.8, 0.8, _HAIR)
        return
    canvas.box(0.0, 0.5, 1.0, 1.0, (45, 48, 70))
    canvas.box(0.46, 0.56, 0.54, 1.0, (25, 26, 36))
    canvas.box(0.0, 0.0, 1.0, 0.17, _darker(colour, 0.7))
    canvas.box(0.24, 0.0, 0.76, 0.17, _SKIN)
    canvas.box(0.24, 0.0, 0.76, 0.17 if face == 'rear' else 0.05, _HAIR)
    canvas.box(0.0, 0.94, 1.0, 1.0, _TYRE)


def _worker(canvas: Canvas, face: str, colour: Colour) -> None:
    _person(canvas, face, colour)
    if face == 'top':
        canvas.box(0.15, 0.15, 0.85, 0.85, (250, 220, 40))
        return
    canvas.box(0.24, 0.0, 0.76, 0.06, (250, 220, 40))
    for y in (0.28, 0.4):
        canvas.box(0.0, y, 1.0, y + 0.05, (240, 245, 200))


def _cone(canvas: Canvas, face: str, colour: Colour) -> None:
    if face != 'top':
        canvas.box(0.0, 0.3, 1.0, 0.5, (245, 245, 245))
        canvas.box(0.0, 0.86, 1.0, 1.0, _TRIM)


def _barrier(canvas: Canvas, face: str, colour: Colour) -> None:
    for x in np.arange(0.0, 1.0, 0.25):
        canvas.box(x, 0.1, x + 0.125, 0.45, (215, 45, 30))
    canvas.box(0.0, 0.9, 1.0, 1.0, _TRIM)


def _rack(canvas: Canvas, face: str, colour: Colour) -> None:
    for x in np.arange(0.05, 1.0, 0.14):
        canvas.box(x, 0.1, x + 0.05, 1.0, _TRIM)


def _house(canvas: Canvas, face: str, colour: Colour) -> None:
    if face == 'top':
        canvas.box(0.0, 0.0, 1.0, 1.0, (110, 104, 100))
        return
    dark = _darker(colour, 0.45)
    columns, floors = (4, 3) if face == 'left' else (3, 3)
    for column in range(columns):
        for floor in range(floors):
            x, y = (column + 0.3) / columns, (floor + 0.25) / floors
            canvas.box(x, y, x + 0.4 / columns, y + 0.45 / floors, dark)


_PAINTERS: dict[str, Callable[[Canvas, str, Colour], None]] = {
    'car': _car, 'truck': _truck, 'bus': _bus, 'trailer': _trailer, 'construction': _construction, 'police': _police,
    'ambulance': _ambulance, 'cycle': _cycle, 'person': _person, 'worker': _worker, 'cone': _cone,
    'barrier': _barrier, 'rack': _rack, 'house': _house,
}  # fmt: skip
