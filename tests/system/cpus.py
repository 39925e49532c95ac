"""The CPUs of the host, shared by the tests that run side by side. A machine under test takes as many as it has, so
machines with one CPU run together, and those with more wait until they have room."""
import fcntl
import os
import time

# How often a test looks whether a CPU has become free, in seconds.
PAUSE = 0.05


class Cpus:
    """`count` CPUs, each a file in `directory` that is locked while it is taken. The locks end with their process. One
    process may take them for several machines; it takes all there are if these have more."""

    def __init__(self, directory, count):
        self.directory, self.count, self.wanted, self.held = directory, count, 0, []

    def take(self, cpus):
        """Waits until so many more are free."""
        self.wanted += cpus
        number = min(self.wanted, self.count)
        if len(self.held) >= number:
            return
        # Who waits for more holds none: two processes would wait for each other.
        self._keep(0)
        self.directory.mkdir(parents=True, exist_ok=True)
        # One at a time, so that small machines do not pass a large one by for ever.
        with open(self.directory / "next", "w", encoding="utf-8") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            while True:
                self._collect(number)
                if len(self.held) == number:
                    return
                time.sleep(PAUSE)

    def give(self, cpus):
        assert cpus <= self.wanted, "more CPUs are given back than were taken"
        self.wanted -= cpus
        self._keep(min(self.wanted, self.count))

    def _collect(self, number):
        for index in range(self.count):
            if len(self.held) == number:
                return
            file = open(self.directory / f"cpu{index}", "w", encoding="utf-8")  # pylint: disable=consider-using-with
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.held.append(file)
            except BlockingIOError:
                file.close()

    def _keep(self, number):
        while len(self.held) > number:
            self.held.pop().close()


def of_host(directory):
    return Cpus(directory, len(os.sched_getaffinity(0)))
