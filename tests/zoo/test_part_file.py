"""Two downloads of one file at once, and one that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from projects.CVT_IO.cvt_io.zoo.part_file import PartFile
from tests.tiny import REPO
from tests.zoo.weight_server import Handler


def test_two_downloads_at_once_fetch_once(zoo, content, capsys):
    begun, go_on = threading.Event(), threading.Event()

    def slowly(handler: Handler) -> None:
        handler.send_head(200, {'Content-Length': len(content)})
        handler.wfile.write(content[:100_000])
        begun.set()
        go_on.wait(60)
        handler.wfile.write(content[100_000:])

    zoo.server.answers[zoo.path] = slowly
    results: list[Path] = []
    threads = [threading.Thread(target=lambda: results.append(zoo.get())) for _ in range(3)]
    threads[0].start()
    assert begun.wait(60)
    for thread in threads[1:]:
        thread.start()
    deadline = time.monotonic() + 60
    waiting = ''
    while waiting.count('waiting for another download') < 2 and time.monotonic() < deadline:
        waiting += capsys.readouterr().err
        time.sleep(0.01)
    assert waiting.count(f'{zoo.weights.name}: waiting for another download') == 2
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert results == [zoo.target] * 3
    assert len(zoo.server.requests) == 1
    assert zoo.target.read_bytes() == content
    assert zoo.files == [zoo.target.name]


def test_after_a_part_that_was_thrown_away_the_next_begins_its_own(tmp_path, capsys):
    target = tmp_path / 'x.pth'

    def second() -> None:
        with PartFile(target) as part:
            assert part.size == 0
            part.append(b'good')
            part.finish()

    thread = threading.Thread(target=second)
    with PartFile(target) as part:
        part.append(b'bad')
        thread.start()
        deadline = time.monotonic() + 60
        while 'waiting' not in capsys.readouterr().err and time.monotonic() < deadline:
            time.sleep(0.01)
        part.discard()
    thread.join(60)
    assert [path.name for path in tmp_path.iterdir()] == ['x.pth']
    assert target.read_bytes() == b'good'


CHILD = """
import sys
from pathlib import Path
from part_file import PartFile
with PartFile(Path(sys.argv[1])) as part:
    part.append(b'half')
    part.size
    print('locked', flush=True)
    sys.stdin.read()
"""


def test_a_killed_download_leaves_its_part_and_no_lock(tmp_path):
    target = tmp_path / 'x.pth'
    # The module alone: importing the whole package takes seconds.
    child = subprocess.Popen(
        [sys.executable, '-c', CHILD, target],
        env=os.environ | {'PYTHONPATH': str(REPO / 'projects/CVT_IO/cvt_io/zoo')},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == 'locked\n'
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.communicate()
    with PartFile(target) as part:
        assert part.size == 4
        part.append(b' and half')
        part.finish()
    assert target.read_bytes() == b'half and half'
