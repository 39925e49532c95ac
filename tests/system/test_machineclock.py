"""The clock by which tests give up (machineclock.py)."""
from machineclock import MachineClock

STEPS, STEP = 300, 0.1


class Starved(MachineClock):
    """The clock of a machine with three threads. Each waits `wait` seconds of each 0.3, and Linux tells of that when it
    is over: of another thread in each step."""

    def __init__(self, wait):
        self.step, self.wait = 0, wait
        super().__init__(1, lambda: self.step * STEP)

    def waits(self):
        return {thread: int((self.step + 2 - thread) // 3 * self.wait * 1e9) for thread in range(3)}

    def run(self):
        """The clock after each step."""
        for self.step in range(1, STEPS + 1):
            yield self.time()


def test_waits_that_overlap_count_once():
    """Two threads that wait for the same CPU do not make the time of their machine run backwards."""
    for wait in (0.0, 0.1, 0.2, 0.25):
        times = list(Starved(wait).run())
        assert times == sorted(times), wait
        expected = STEPS * STEP * (1 - wait / 0.3)
        assert 0.7 * expected <= times[-1] <= 1.3 * expected, (wait, times[-1], expected)


def test_a_machine_that_never_runs_has_no_time():
    assert list(Starved(0.3).run())[-1] < 1
