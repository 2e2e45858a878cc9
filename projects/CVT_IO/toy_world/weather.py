"""Light and colour of a scene."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Weather:
    """Light and colour of one scene.

    Attributes:
        name: of the kind of weather.
        sun: direction (3,) towards the sun, unit length.
        direct: strength of the sun's light; ``ambient`` that of the sky's.
        shadow: brightness of the ground in shadow, 1 where nothing casts one.
        zenith, horizon: colours (R, G, B) of the sky.
        tint: factors (R, G, B) of the finished image.
        gamma: exponent of the finished image; above 1 is darker.
        noise: standard deviation of the sensor's noise, in grey levels.
    """

    name: str
    sun: tuple[float, float, float]
    direct: float
    ambient: float
    shadow: float
    zenith: tuple[int, int, int]
    horizon: tuple[int, int, int]
    tint: tuple[float, float, float]
    gamma: float
    noise: float

    def light(self, normal: np.ndarray) -> float:
        """Brightness of a surface with unit ``normal`` (3,) in the world."""
        sky = 0.5 + 0.5 * float(normal[2])
        return self.ambient * (0.55 + 0.45 * sky) + self.direct * max(float(normal @ np.array(self.sun)), 0.0)

    def tones(self) -> np.ndarray:
        """Lookup table (1, 256, 3) uint8 from painted to finished colours."""
        levels = (np.arange(256)[:, None] / 255.0) ** self.gamma * np.array(self.tint)
        return np.clip(np.round(255 * levels), 0, 255).astype(np.uint8)[None]


# name: (direct, ambient, shadow, zenith, horizon, tint, gamma, noise, lowest and highest sun in degrees)
_KINDS = {
    'sunny': (0.62, 0.55, 0.55, (70, 120, 205), (190, 212, 235), (1.06, 1.03, 0.97), 0.92, 3.0, (35, 65)),
    'overcast': (0.12, 0.80, 0.82, (165, 172, 180), (205, 208, 212), (0.97, 0.98, 1.0), 1.0, 4.0, (40, 70)),
    'dusk': (0.45, 0.52, 0.68, (70, 70, 120), (245, 170, 110), (1.05, 0.88, 0.76), 1.25, 5.5, (8, 18)),
    'night': (0.10, 0.66, 0.80, (34, 38, 60), (70, 70, 90), (0.78, 0.80, 0.95), 1.35, 7.0, (40, 60)),
    'rain': (0.06, 0.72, 0.85, (120, 130, 140), (165, 172, 178), (0.80, 0.87, 0.92), 1.12, 6.0, (40, 60)),
}
_SHARES = (0.36, 0.24, 0.14, 0.12, 0.14)


def draw_weather(rng: np.random.Generator) -> Weather:
    """Random weather with slightly varied light."""
    name = str(rng.choice(list(_KINDS), p=_SHARES))
    direct, ambient, shadow, zenith, horizon, tint, gamma, noise, heights = _KINDS[name]
    height, azimuth = np.radians(rng.uniform(*heights)), rng.uniform(0.0, 2 * np.pi)
    sun = (np.cos(height) * np.cos(azimuth), np.cos(height) * np.sin(azimuth), np.sin(height))
    brightness = rng.uniform(0.93, 1.07)
    red, green, blue = (float(factor * brightness * rng.uniform(0.98, 1.02)) for factor in tint)
    return Weather(name, sun, direct, ambient, shadow, zenith, horizon, (red, green, blue), gamma, noise)


def finish(image: np.ndarray, tones: np.ndarray, grain: np.ndarray) -> np.ndarray:
    """Applies the tones of the weather and the sensor's noise.

    Args:
        image: (H, W, 3) uint8.
        tones: see :meth:`Weather.tones`.
        grain: (H, W, 3) int16, added last.
    """
    return cv2.add(cv2.LUT(image, tones), grain, dtype=cv2.CV_8U)


def make_grain(rng: np.random.Generator, image_size: tuple[int, int], noise: float) -> np.ndarray:
    """Noise (H + 97, W + 97, 3) int16, from which each image takes a different window."""
    height, width = image_size
    grey = rng.normal(0.0, noise, (height + 97, width + 97, 1))
    colour = rng.normal(0.0, 0.4 * noise, (height + 97, width + 97, 3))
    return np.round(grey + colour).astype(np.int16)
