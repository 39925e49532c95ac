"""The time that a machine under test has had. The tests give up by this clock. A machine that other programs keep from
running has had no time, so a busy host does not make a test fail."""
import pathlib
import threading
import time


class MachineClock:
    """Seconds, without those in which a thread of the process was ready to run and did not (schedstat of Linux).

    Threads that wait at the same time wait for the same CPUs, mostly, so the longest wait counts. Linux tells of a wait
    when it is over. So waits that overlap are told one after the other, and what threads have waited is compared over
    a WINDOW that is long beside a wait: else they would add up to more time than has passed."""

    WINDOW = 5

    def __init__(self, pid, now=time.monotonic):
        self.tasks, self.lock, self.now = pathlib.Path(f"/proc/{pid}/task"), threading.Lock(), now
        # At the start of the window; what was returned last.
        self.passed, self.start, self.before = 0.0, now(), self.waits()
        self.last = 0.0

    def waits(self):
        """By thread: the nanoseconds in which it was ready to run and did not."""
        waits = {}
        try:
            for task in self.tasks.iterdir():
                waits[task.name] = int((task / "schedstat").read_text().split()[1])
        except (OSError, IndexError):  # the process or a thread has just ended, or this kernel does not count
            pass
        return waits

    def time(self):
        """Grows by at most one in each second, and never falls."""
        with self.lock:
            now, waits = self.now(), self.waits()
            waited = max((ns - self.before.get(task, 0) for task, ns in waits.items()), default=0) / 1e9
            passed = self.passed + max(0.0, now - self.start - waited)
            self.last = max(self.last, passed)
            if now - self.start >= self.WINDOW:
                self.passed, self.start = passed, now
                self.before.update(waits)
            return self.last
