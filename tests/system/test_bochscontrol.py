"""The clock by which tests on the other machine give up, and the socket by which they ask it (bochscontrol.py)."""
import itertools
import socket

import pytest

from bochscontrol import CommonClock, Control, StandsStill


class Times:
    """Of a process, and of the machine in it that is so many times as fast."""

    def __init__(self, speed):
        self.process, self.machine, self.speed, self.gone = 10.0, 0.0, speed, None

    def passes(self, seconds):
        self.process += seconds
        self.machine += seconds * self.speed

    def clock(self):
        return CommonClock(lambda: self.process, self.ask)

    def ask(self):
        if self.gone:
            raise self.gone
        return self.machine


@pytest.mark.parametrize("speed, passed", [(0.1, 0.3), (1000, 3.0)])
def test_what_passes_for_both_has_passed(speed, passed):
    times = Times(speed)
    clock = times.clock()
    for _ in range(30):
        times.passes(0.1001)
        clock.time()
    assert clock.time() == pytest.approx(passed, rel=0.1)


def test_without_a_machine_the_process_counts():
    """Else a test would wait for ever for a machine that has ended."""
    times = Times(1)
    clock = times.clock()
    times.passes(1)
    clock.time()
    times.gone = ConnectionError()
    times.passes(5)
    assert clock.time() == pytest.approx(6)


def test_a_machine_that_stands_still_has_no_time_left():
    times = Times(1)
    clock = times.clock()
    times.passes(1)
    deadline = clock.time() + 3600
    times.gone = StandsStill()
    times.passes(1)
    assert clock.time() > deadline
    # Nor has a wait that begins now.
    deadline = clock.time() + 3600
    assert clock.time() > deadline


def test_a_machine_that_does_not_answer_stands_still(tmp_path):
    """It is said as soon as its process has had the time for an answer; the next who asks need not wait."""
    clock = itertools.count(0, Control.patience / 2)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control"))
        listener.listen()
        control = Control(str(tmp_path / "control"), tmp_path / "report", lambda: next(clock))
        with pytest.raises(StandsStill):
            control.ask("time")
        looked = next(clock)
        with pytest.raises(StandsStill):
            control.ask("time")
        assert next(clock) == looked + Control.patience / 2
        control.close()
