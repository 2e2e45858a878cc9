"""Timing with a clock of our own."""

from __future__ import annotations

import gc
import itertools
import statistics
import sys

import pytest
import torch

from projects.CVT_IO.cvt_io.analysis import latency
from projects.CVT_IO.cvt_io.analysis.latency import Timing, time_in_turn
from projects.CVT_IO.cvt_io.analysis.memory import peak_memory
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.runtime.machine import describe_machine, require_device

CPU = torch.device('cpu')


def test_steps_run_in_turn_after_warm_up(monkeypatch):
    calls = []
    monkeypatch.setattr(latency, 'peak_memory', lambda step, device: step() or 7)
    steps = {name: lambda name=name: calls.append(name) for name in 'ab'}
    timings = time_in_turn(steps, samples=3, device=CPU, warm_up=2)
    assert ''.join(calls) == 'aaabbbababab'  # two to warm up and one for the memory; then in turn
    assert [len(timing.seconds) for timing in timings.values()] == [3, 3]
    assert timings['a'].peak_bytes == 7


def test_seconds_are_those_of_the_clock(monkeypatch, capsys):
    """Each reading is one second later than the step before it was long: 1 + 0 s, 1 + 1 s …"""
    now = itertools.count()
    monkeypatch.setattr(latency.time, 'perf_counter', lambda: next(now))
    timing = time_in_turn({'a': lambda: next(now)}, samples=5, device=CPU, log_interval=2)['a']
    assert timing.seconds == [2] * 5
    # Medians are printed on the way.
    assert [line.split(':')[0] for line in capsys.readouterr().out.splitlines() if 'a ' in line] == ['2/5', '4/5']


def test_summary_by_hand():
    """Ratios are taken pair by pair: 1/2, 2/1, 6/4, of which the median is 1.5; that of the medians would be 1."""
    own, base = Timing([1.0, 2.0, 6.0], 3 * 2**20), Timing([2.0, 1.0, 4.0], None)
    summary = own.summary(base)
    assert summary['median_ms'] == 2000 and summary['samples'] == 3 and summary['peak_mib'] == 3
    assert summary['p10_ms'] == pytest.approx(1200) and summary['p90_ms'] == pytest.approx(5200)
    assert summary['ratio'] == 1.5
    assert base.summary(base)['ratio'] == 1 and base.summary(base)['peak_mib'] is None


def test_no_samples():
    with pytest.raises(ValueError, match='samples: expected at least 1, got 0'):
        time_in_turn({}, samples=0, device=CPU)


@pytest.mark.skipif(sys.platform != 'linux', reason='the peak of resident memory is known on Linux only')
@pytest.mark.parametrize('mib', [40, 160])
def test_peak_memory_counts_what_a_call_used_and_freed(mib):
    def step() -> None:
        gc.collect()  # as Python does whenever it has allocated enough objects
        torch.ones(mib * 2**18)

    def peak() -> float:
        garbage = [torch.ones(200 * 2**18)]  # of an earlier call: must not be counted as freed by the step
        garbage.append(garbage)
        del garbage
        return peak_memory(step, CPU) / 2**20

    step()
    # The kernel may reclaim pages of the process at any moment, so a single reading may be too low.
    assert statistics.median(peak() for _ in range(5)) == pytest.approx(mib, rel=0.1)


def test_machine_and_devices():
    assert f'PyTorch {torch.__version__.split("+")[0]}' in describe_machine(CPU)
    assert f'{torch.get_num_threads()} threads' in describe_machine(CPU)
    assert require_device('cpu') == CPU
    for name in ('cuda:99', 'gpu'):
        with pytest.raises(DataError, match=f'device {name}: not on this machine'):
            require_device(name)
