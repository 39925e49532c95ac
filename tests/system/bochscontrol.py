"""The control socket of the other test machine (tests/bochs/glue/control.h): its knobs, its time, and its memory."""
import pathlib
import socket
import threading

from weir import Failure

# How often the clock is read while an answer is waited for, in seconds.
PAUSE = 0.5
PAGE = 4096


class StandsStill(OSError):
    """The machine's time does not pass: it looks at the socket by a timer of its own."""


class Control:
    """Once the machine has ended, its last report answers. `clock()`: the seconds that its process has had."""

    # An answer takes a millisecond. Who has had so many seconds for it, gives none any more.
    patience = 30

    def __init__(self, path, report, clock=None):
        self.path, self.report, self.clock = path, pathlib.Path(report), clock
        self.socket, self.pending, self.stands_still = None, b"", False
        self.lock = threading.Lock()

    def ask(self, line):
        """OSError: the machine has ended, has not begun, or stands still."""
        with self.lock:
            if self.stands_still:
                raise StandsStill(f"the machine's time stands still since it was asked for {line!r}")
            if not self.socket:
                new = socket.socket(socket.AF_UNIX)
                new.settimeout(PAUSE)
                try:
                    new.connect(self.path)
                except OSError:
                    new.close()
                    raise
                self.socket, self.pending = new, b""
            self.socket.sendall(line.encode() + b"\n")
            answer = self.line(line)
        kind, _, rest = answer.decode(errors="replace").partition(" ")
        if kind != "ok":
            raise Failure(f"the test machine refuses {line!r}: {rest}")
        return rest

    def line(self, request):
        deadline = self.clock() + self.patience
        while b"\n" not in self.pending:
            try:
                more = self.socket.recv(65536)
            except TimeoutError:
                if self.clock() < deadline:
                    continue
                self.stands_still = True
                raise StandsStill(f"{request!r} is not answered: the machine's time stands still") from None
            if not more:
                raise ConnectionError("the machine has ended")
            self.pending += more
        line, self.pending = self.pending.split(b"\n", 1)
        return line

    def last(self):
        """The knobs and their values when the machine ended by itself; empty: it did not."""
        if not self.report.exists():
            return {}
        return dict(line.split(" ", 1) for line in self.report.read_text().splitlines() if " " in line)

    def close(self):
        if self.socket:
            self.socket.close()
            self.socket = None


class CommonClock:
    """Seconds that have passed for the machine and for its process, whichever were fewer. The machine's time flies
    while its processors halt, and a test outside cannot keep up; it creeps while they work, and then a test waits for
    what they do and not for the host. If it stands still, no time is left for anybody."""

    # It is not asked more often, in seconds.
    STEP = 0.1
    LATE = 1e6

    def __init__(self, process_time, machine_time):
        """`machine_time()` raises an OSError while there is no machine."""
        self.process_time, self.machine_time, self.lock = process_time, machine_time, threading.Lock()
        self.passed, self.machine, self.process = 0.0, 0.0, process_time()

    def time(self):
        with self.lock:
            if self.process_time() - self.process < self.STEP:
                return self.passed
            try:
                machine = self.machine_time()
            except StandsStill:
                self.passed += self.LATE
                return self.passed
            except OSError:
                machine = None
            process = self.process_time()
            step = process - self.process
            if machine is not None:
                step, self.machine = min(step, machine - self.machine), machine
            self.passed, self.process = self.passed + max(0.0, step), process
            return self.passed


class Memory:
    """The machine's memory, in the words of a bytearray: slices, and find(). The address is the index."""

    # Below it are the screen's memory and the firmware, which a search leaves alone.
    FIRST = 1 << 20

    def __init__(self, ask, size):
        """`ask`: Control.ask of the machine that will run."""
        self.ask, self.size = ask, size

    def __getitem__(self, index):
        parts = []
        for at in range(index.start, index.stop, PAGE):
            parts.append(bytes.fromhex(self.ask(f"memory {at} {min(PAGE, index.stop - at)}")))
        return b"".join(parts)

    def __setitem__(self, index, data):
        assert len(data) == index.stop - index.start
        for at in range(0, len(data), PAGE // 4):
            self.ask(f"poke {index.start + at} {bytes(data[at:at + PAGE // 4]).hex()}")

    def find(self, data, start=0):
        first = max(start, self.FIRST)
        answer = self.ask(f"find {bytes(data).hex()} {first} {self.size - first}")
        return -1 if answer == "none" else int(answer)
