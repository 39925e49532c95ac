"""The time that a machine under test has had. The tests give up by this clock. A machine that other programs keep from
running has had no time, so a busy host does not make a test fail."""
import pathlib
import threading
import time


class MachineClock:
    """Seconds, without those in which a thread of the process was ready to run and did not (schedstat of Linux)."""

    def __init__(self, pid):
        self.tasks, self.lock = pathlib.Path(f"/proc/{pid}/task"), threading.Lock()
        self.waited, self.before = 0.0, self.waits()

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
        """Grows by at most one in each second."""
        with self.lock:
            now = self.waits()
            # Threads that wait at the same time wait for the same CPUs, mostly.
            self.waited += max((ns - self.before.get(task, 0) for task, ns in now.items()), default=0) / 1e9
            self.before.update(now)
            return time.monotonic() - self.waited
