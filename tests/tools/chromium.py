"""A headless Chromium, spoken to by the DevTools protocol over two pipes; needs nothing but Python."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
KEYS = {'ArrowLeft': 37, 'ArrowUp': 38, 'ArrowRight': 39, 'ArrowDown': 40, 'Escape': 27, 'Tab': 9}


def find_browser() -> str | None:
    """Path of a Chromium, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page in a browser of its own, whose profile lies in ``folder``."""

    def __init__(self, program: str, folder: Path, timeout: float = 60) -> None:
        self.timeout = timeout
        self.count = 0
        self.buffer = b''
        self.session = ''
        self.errors: list[str] = []  # exceptions, and what the page's policy forbade
        self.requests: list[str] = []  # addresses that the page asked for
        from_here, self.to_browser = os.pipe()
        self.from_browser, from_there = os.pipe()
        flags = [
            '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
            '--hide-scrollbars', '--remote-debugging-pipe', f'--user-data-dir={folder}', 'about:blank',
        ]  # fmt: skip
        # Chromium reads from descriptor 3 and writes to 4.
        command = f'exec "$0" "$@" 3<&{from_here} 4>&{from_there}'
        self.process = subprocess.Popen(
            ['bash', '-c', command, program, *flags],
            pass_fds=(from_here, from_there),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        os.close(from_here)
        os.close(from_there)
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        self.session = self.call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.call(f'{domain}.enable')

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.terminate()
        self.process.wait(30)
        os.close(self.to_browser)
        os.close(self.from_browser)

    def call(self, method: str, **params: Any) -> dict:
        """Result of a command of the protocol."""
        self.count += 1
        message = dict(id=self.count, method=method, params=params) | (
            {'sessionId': self.session} if self.session else {}
        )
        content = json.dumps(message).encode() + b'\0'
        while content:
            content = content[os.write(self.to_browser, content) :]
        answer = self._receive(lambda message: message.get('id') == self.count)
        if 'error' in answer:
            raise RuntimeError(f'{method}: {answer["error"]["message"]}')
        return answer['result']

    def _receive(self, wanted: Any) -> dict:
        end = time.monotonic() + self.timeout
        while True:
            while b'\0' not in self.buffer:
                if not select.select([self.from_browser], [], [], max(end - time.monotonic(), 0))[0]:
                    raise TimeoutError(f'the browser gave no answer within {self.timeout} s')
                part = os.read(self.from_browser, 1 << 20)
                if not part:
                    raise RuntimeError(f'the browser ended with code {self.process.wait(10)}')
                self.buffer += part
            line, _, self.buffer = self.buffer.partition(b'\0')
            message = json.loads(line)
            self._note(message.get('method'), message.get('params', {}))
            if wanted(message):
                return message

    def _note(self, method: str | None, params: dict) -> None:
        if method == 'Runtime.exceptionThrown':
            self.errors.append(str(params['exceptionDetails'].get('exception', params).get('description')))
        elif method == 'Log.entryAdded' and params['entry']['level'] == 'error':
            self.errors.append(params['entry']['text'])
        elif method == 'Network.requestWillBeSent':
            self.requests.append(params['request']['url'])

    def open(self, path: Path, width: int = 1400, height: int = 1000, dark: bool = False, touch: bool = False) -> None:
        """Loads a file and waits until it is drawn."""
        metrics = dict(width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call('Emulation.setDeviceMetricsOverride', **metrics)
        self.call('Emulation.setTouchEmulationEnabled', enabled=touch)
        scheme = dict(name='prefers-color-scheme', value='dark' if dark else 'light')
        self.call('Emulation.setEmulatedMedia', features=[scheme])
        self.call('Page.navigate', url=path.resolve().as_uri())
        self._receive(lambda message: message.get('method') == 'Page.loadEventFired')
        self.settle()

    def settle(self) -> None:
        """Waits for two pictures of the page."""
        self.evaluate('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))')

    def evaluate(self, expression: str) -> Any:
        """Value of an expression of the page; a promise's outcome."""
        result = self.call('Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True)
        if 'exceptionDetails' in result:
            raise RuntimeError(result['exceptionDetails']['exception']['description'])
        return result['result'].get('value')

    def click(self, x: float, y: float) -> None:
        self.move(x, y)
        for kind in ('mousePressed', 'mouseReleased'):
            self.call('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left', clickCount=1)
        self.settle()

    def move(self, x: float, y: float) -> None:
        self.call('Input.dispatchMouseEvent', type='mouseMoved', x=x, y=y)
        self.settle()

    def tap(self, x: float, y: float) -> None:
        self.call('Input.dispatchTouchEvent', type='touchStart', touchPoints=[dict(x=x, y=y)])
        self.call('Input.dispatchTouchEvent', type='touchEnd', touchPoints=[])
        self.settle()

    def key(self, name: str) -> None:
        for kind in ('keyDown', 'keyUp'):
            self.call('Input.dispatchKeyEvent', type=kind, key=name, code=name, windowsVirtualKeyCode=KEYS[name])
        self.settle()

    def screenshot(self) -> bytes:
        return base64.b64decode(self.call('Page.captureScreenshot', format='png')['data'])
