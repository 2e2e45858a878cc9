import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.labels.nuscenes import parallel


def square(number):
    return number * number, os.getpid()


def fail(number):
    raise DataError(f'{number} is wrong')


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize('workers', [0, 1, 2])
def test_results_are_in_order(workers):
    results = list(parallel.parallel_map(square, range(50), workers, chunk=3))
    assert [value for value, _ in results] == [n * n for n in range(50)]
    assert (os.getpid() in {pid for _, pid in results}) == (workers < 2)


@pytest.mark.parametrize('workers', [0, 2])
def test_errors_reach_the_caller(workers):
    with pytest.raises(DataError, match=r'^0 is wrong$'):
        list(parallel.parallel_map(fail, range(5), workers, chunk=1))


def test_killed_worker_is_an_error():
    with pytest.raises(BrokenProcessPool):
        list(parallel.parallel_map(die, range(5), 2))


def test_workers_end_with_a_killed_parent(tmp_path):
    # As a top-level module, which spares the child the import of the whole package.
    script = f"""
        import os, sys, time
        sys.path.insert(0, {str(Path(parallel.__file__).parent)!r})
        from parallel import parallel_map
        def work(item):
            open({str(tmp_path)!r} + f'/{{os.getpid()}}', 'w').close()
            time.sleep(60)
        list(parallel_map(work, range(8), 2, chunk=1))
    """
    process = subprocess.Popen([sys.executable, '-c', textwrap.dedent(script)])
    try:
        wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
        workers = [int(path.name) for path in tmp_path.iterdir()]
        assert all(map(alive, workers))
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: not any(map(alive, workers)))


def alive(pid: int) -> bool:
    status = Path(f'/proc/{pid}/status')
    try:
        return 'State:\tZ' not in status.read_text()
    except OSError:
        return False


def wait_for(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'waited too long'
        time.sleep(0.05)
