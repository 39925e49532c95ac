"""Weir on a test machine, seen from outside: an ISO with a menu from the test, the machine, the serial log. The machine
is QEMU, started by tools/qemu; bochs.py has the other one."""
import codecs
import collections
import contextlib
import fcntl
import itertools
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import threading
import time

import cpus
from machineclock import MachineClock
from monitor import Monitor, where_cpus_are

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("BUILD", "build")
GUESTS = BUILD / "userland"
# Has checks, and test-only command line words (WEIR_DEBUG).
DEBUG_ELF = BUILD / "debug/boot/weir.elf"

# QEMU's exit status after isa-debug-exit (kernel/core/debugexit.h).
READY, PANIC, IDLE = 33, 35, 37

# A boot that logs nothing for this long, by the machine's clock, hangs.
SILENCE = 15
TAIL = 60

# The control sequences that Weir sends to a terminal (kernel/core/console.c).
CONTROLS = re.compile(r"(\r\x1b\[K|[\r\n\b])")
SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[@-~]")
CUT_OFF = re.compile(r"\r(\x1b\[?)?\Z")
PROMPT = "weir> "
LOGGED = re.compile(r"\[ *\d+\.\d{6}\] ")

CPUS = cpus.of_host(BUILD / "tests/cpus")

DEFECT = re.compile(r"panic on CPU|error: assertion|Weir has stopped")


class Failure(AssertionError):
    """The test timed out waiting for something; includes the end of the log."""


# Below the ports that the system gives away by itself. Tests that run side by side have a range each.
PORTS = itertools.cycle(range(*(20000 + 1000 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 12 + i)
                                for i in (0, 1))))
CLAIMS = collections.deque()


def claim(port):
    """Keeps it from the tests of other clones, which choose from the same ports, until a hundred more are chosen here.
    OSError: it is claimed."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0port {port} of Weir's tests")
    except OSError:
        name.close()
        raise
    CLAIMS.append(name)
    if len(CLAIMS) > 100:
        CLAIMS.popleft().close()


def free_port(kind=socket.SOCK_STREAM):
    for port in itertools.islice(PORTS, 1000):
        with socket.socket(socket.AF_INET, kind) as s:
            try:
                s.bind(("127.0.0.1", port))
                claim(port)
                return port
            except OSError:
                pass
    raise RuntimeError("no port of this test's range is free")


class Screen:
    """What a terminal would show: complete lines, and the line with the cursor."""

    def __init__(self):
        self.line, self.cursor, self.pending = "", 0, ""

    def feed(self, text):
        """Yields the lines that are complete."""
        text = self.pending + text
        cut = CUT_OFF.search(text)
        self.pending = text[cut.start():] if cut else ""
        for piece in CONTROLS.split(text[:cut.start()] if cut else text):
            if piece == "\n":
                yield self.line
                self.line, self.cursor = "", 0
            elif piece == "\r":
                self.cursor = 0
            elif piece == "\b":
                self.cursor = max(0, self.cursor - 1)
            elif piece.startswith("\r"):
                self.line, self.cursor = "", 0
            else:
                self.line = self.line[:self.cursor] + piece + self.line[self.cursor + len(piece):]
                self.cursor += len(piece)


class Nic:
    """A network device at 00:`slot`.0 on its own network, with ports of the host that are forwarded to the guest."""

    def __init__(self, slot=3, model="e1000e", tcp=(80,), udp=()):
        self.slot, self.model, self.net = slot, model, f"net{slot}"
        self.ports = {("tcp", p): free_port() for p in tcp}
        self.ports.update({("udp", p): free_port(socket.SOCK_DGRAM) for p in udp})

    def tcp(self, port=80):
        return self.ports["tcp", port]

    def udp(self, port):
        return self.ports["udp", port]

    def options(self):
        user = "".join(f",hostfwd={kind}:127.0.0.1:{host}-:{guest}" for (kind, guest), host in self.ports.items())
        return ["-netdev", f"user,id={self.net}{user}",
                "-device", f"{self.model},netdev={self.net},addr={self.slot:x},romfile=,"
                f"mac=52:54:00:12:34:{self.slot:02x}"]


class AtsNic(Nic):
    """A virtio-net device with its own TLB (PCIe ATS), at 01:00.0 behind a root port at 00:`slot`.0. `backend`: options
    that give QEMU a netdev "back" of a user network "user"; without them it is QEMU's own virtio-net."""

    def __init__(self, slot=3, backend=(), **ports):
        super().__init__(slot, "virtio-net-pci", **ports)
        self.backend = list(backend)
        if backend:
            self.net = "user"

    def options(self):
        net, mac = "back" if self.backend else self.net, f"52:54:00:12:34:{self.slot:02x}"
        return [*super().options()[:2], *self.backend,
                "-device", f"pcie-root-port,id=port0,chassis=1,addr={self.slot:x}",
                "-device", f"virtio-net-pci,bus=port0,netdev={net},disable-legacy=on,iommu_platform=on,ats=on,romfile=,"
                f"mac={mac}"]


class PortNic(Nic):
    """At 01:00.0, behind a root port at 00:`slot`.0. An igb's virtual functions are 01:10.0, 01:10.2 and so on."""

    def __init__(self, slot=4, model="igb", **ports):
        super().__init__(slot, model, **ports)

    def options(self):
        netdev, _, device = super().options()[1:]
        return ["-netdev", netdev,
                "-device", f"pcie-root-port,id=port{self.slot},chassis={self.slot},addr={self.slot:x}",
                "-device", device.replace(f"addr={self.slot:x}", f"bus=port{self.slot}")]


class Weir:
    """One machine, QEMU. `modules` are GRUB's lines without the word module2; `head` precedes the menu entry; `files`
    are put into /boot with the guests. With `counted`, an instruction takes 2^`counted` ns of the machine's time:
    shares of a CPU are then the same on every host, however busy. 4 is at most the speed of TCG, so little time is
    waited for. With `slow_serial`, so many bytes of the UART are read slowly, and it sends nothing meanwhile; the end
    is read at once, since Weir waits for a bounded time only before it stops the machine."""

    silence = SILENCE
    # What runs it, and where its output is.
    program, program_log = "QEMU", "qemu.log"
    # A slower machine gets so many times as long.
    patience = 1
    # The host's CPUs that it keeps busy: see cpus.py.
    cpus = 1

    def __init__(self, directory, modules=(), cmdline="", files=(), smp=1, mem="512M", iommu=None, nics=(), qemu=(),
                 elf=None, head="set timeout=0\n", counted=None, slow_serial=0):
        self.prepare(directory, modules, cmdline, files, elf, head)
        self.slow_serial = slow_serial
        # "4,cores=2" are four. QEMU runs all CPUs of a counted machine on one of the host.
        self.cpus = int(str(smp).split(",", maxsplit=1)[0]) if counted is None else 1
        self.environment = dict(os.environ, SMP=str(smp), MEM=mem, NIC="none", SERIAL="stdio", QEMU_ARGS="")
        self.environment.pop("IOMMU", None)
        if iommu is not None:
            self.environment["IOMMU"] = iommu
        if counted is not None:
            self.environment["ACCEL"] = "tcg"
            qemu = [*qemu, "-icount", f"shift={counted}"]
            self.cmdline += " x2apic=off"  # QEMU 10.0 cannot count the time of its timer
        self.options = [o for nic in nics for o in nic.options()] + list(qemu)
        self.monitor = Monitor(f"{self.sockets.name}/monitor")

    def prepare(self, directory, modules, cmdline, files, elf, head):
        """What each kind of machine has."""
        self.lines, self.screen, self.directory = [], Screen(), pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.elf = elf or BUILD / "boot/weir.elf"
        self.modules, self.files = list(modules), list(files)
        self.cmdline, self.head, self.slow_serial = cmdline, head, 0
        self.changed = threading.Condition()
        self.process, self.clock, self.ended, self.last_output = None, None, False, 0.0
        self.taken = 0
        # The path of a socket must be short.
        self.sockets = tempfile.TemporaryDirectory(prefix="weir-")  # pylint: disable=consider-using-with

    def tables(self):
        """Files with firmware tables that GRUB adds to the machine's."""
        return []

    def image(self):
        """Makes the ISO that boots."""
        menu, tables = self.directory / "grub.cfg", self.tables()
        menu.write_text(f"{self.head}menuentry Weir {{\n"
                        + "".join(f"\tacpi /boot/{table.name}\n" for table in tables)
                        + f"\tmultiboot2 /boot/weir.elf {self.cmdline}\n"
                        + "".join(f"\tmodule2 {m}\n" for m in self.modules) + "}\n")
        iso = self.directory / "weir.iso"
        made = subprocess.run([ROOT / "tools/mkiso", iso, menu, self.elf, *sorted(GUESTS.glob("*.elf")),
                               *self.files, *tables], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False)
        if made.returncode:
            raise Failure(f"the ISO could not be made: {made.stderr}")
        return iso

    def start(self, image):
        """Starts the machine and returns its process."""
        process = subprocess.Popen([ROOT / "tools/qemu", image, *self.options, *self.monitor.options],
                                   env=self.environment,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr)
        if self.slow_serial:
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        return process

    def receive(self, most):
        """What COM1 has sent; waits for it. Nothing: the machine has ended."""
        return os.read(self.process.stdout.fileno(), most)

    def close(self):
        """Closes what the machine had open."""
        self.process.stdout.close()
        if self.process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()

    def take_cpus(self):
        CPUS.take(self.cpus)
        self.taken = self.cpus

    def make_clock(self):
        """The clock by which the test gives up."""
        return MachineClock(self.process.pid)

    def __enter__(self):
        image = self.image()
        self.take_cpus()
        self.stderr = open(self.directory / self.program_log, "wb")
        self.process = self.start(image)
        self.clock = self.make_clock()
        self.last_output = self.time()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        CPUS.give(self.taken)
        self.taken = 0  # some tests end a machine themselves, before the fixture does
        self.reader.join()
        self.close()
        self.stderr.close()
        self.sockets.cleanup()
        with contextlib.suppress(FileNotFoundError):
            (self.directory / "weir.iso").unlink()

    def _read(self):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with open(self.directory / "serial.log", "w", encoding="utf-8") as log:
            slow = self.slow_serial
            while raw := self.receive(256 if slow > 0 else 65536):
                time.sleep(0.005 if slow > 0 else 0)
                slow -= len(raw)
                with self.changed:
                    for line in self.screen.feed(decoder.decode(raw)):
                        log.write(line + "\n")
                        self.lines.append(line)
                    self.last_output = self.time()
                    self.changed.notify_all()
                log.flush()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def time(self):
        """Seconds by the machine's clock."""
        return self.clock.time()

    def deadline(self, timeout):
        """When a wait of so many seconds ends."""
        return self.time() + timeout * self.patience

    def said(self):
        """The program's own output; nothing if it has not started."""
        log = self.directory / self.program_log
        return log.read_text(encoding="utf-8", errors="replace").strip() if log.exists() else ""

    def where(self):
        """Where its CPUs are, or that it has ended."""
        if not self.process or self.process.poll() is not None:
            return f"{self.program} has ended (status {self.process and self.process.returncode})"
        try:
            return where_cpus_are(self.monitor, self.elf)
        except (OSError, subprocess.CalledProcessError) as error:
            return f"QEMU's monitor does not answer: {error!r}"

    def fail(self, what):
        """Fails the test with `what`, the end of the log, and where the CPUs are."""
        said = self.said()
        tail = "\n".join(self.lines[-TAIL:]) or "(nothing)"
        raise Failure(f"{what}\n{self.where()}\n--- serial log, its end ({self.directory}/serial.log) ---\n{tail}"
                      + (f"\n--- {self.program} said ---\n{said}" if said else ""))

    def wait_for(self, pattern, timeout=30, panic_is_fine=False):
        """Waits for a line of the log, from its beginning, that matches `pattern`. Returns the match. Fails at once if
        the machine ends or Weir panics, and early if the log stops before Weir is ready."""
        regex, seen, deadline, ready = re.compile(pattern), 0, self.deadline(timeout), False
        with self.changed:
            while True:
                while seen < len(self.lines):
                    line, seen = self.lines[seen], seen + 1
                    ready = ready or line.endswith("weir: ready")
                    match = regex.search(line)
                    if match:
                        return match
                    if DEFECT.search(line) and not panic_is_fine:
                        self.changed.wait(1)  # the backtrace
                        self.fail(f"Weir panicked while the test waited for {pattern!r}")
                now = self.time()
                if self.ended:
                    self.fail(f"{self.program} ended (status {self.process.wait()}) while the test waited for "
                              f"{pattern!r}")
                if now >= deadline:
                    self.fail(f"no line matched {pattern!r} within {timeout} s")
                if not ready and now - self.last_output > self.silence * self.patience:
                    self.fail(f"the boot hangs: no output for {self.silence} s; the test waited for {pattern!r}")
                self.changed.wait(min(1, deadline - now))

    def wait_ready(self, timeout=40):
        return self.wait_for(r"weir: ready$", timeout)

    def type(self, text):
        """Types at the console."""
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def wait_prompt(self, since=0, timeout=30):
        """Waits until the control domain's shell prompts; after the echo of a command in line `since` or later, if
        given. Returns the lines from this echo on, without log lines."""
        deadline = self.deadline(timeout)
        with self.changed:
            while True:
                dialogue = [SEQUENCE.sub("", line) for line in self.lines[since:] if not LOGGED.match(line)]
                while since and dialogue and not dialogue[0].startswith(PROMPT):
                    dialogue.pop(0)
                if SEQUENCE.sub("", self.screen.line) == PROMPT and (dialogue or not since):
                    return dialogue
                if self.ended or self.time() >= deadline:
                    self.fail(f"no shell prompt within {timeout} s; its line is {self.screen.line!r}")
                self.changed.wait(0.5)

    def typed(self, keys, timeout=30):
        """Types text that ends in a new prompt. Returns what the shell showed from this line on."""
        self.wait_prompt(timeout=timeout)
        since = len(self.lines)
        self.type(keys)
        return self.wait_prompt(since, timeout)

    def command(self, text, timeout=30):
        """Has the control domain's shell execute a command. Returns the lines of its answer."""
        echo, *answer = self.typed(text + "\r", timeout)
        if echo != PROMPT + text:
            self.fail(f"{text!r} was not echoed by the shell: {echo!r}")
        return answer

    def wait_exit(self, timeout=30):
        """Waits until the machine ends. Returns its exit status."""
        self.wait_until(lambda: self.process.poll() is not None, f"{self.program} did not end within {timeout} s",
                        timeout)
        self.reader.join()
        return self.process.returncode

    def wait_until(self, condition, otherwise, timeout=30, pause=0.05):
        """Waits until condition() is true and returns what it returned. Fails with `otherwise` (or what that returns)
        when the machine has had the time."""
        deadline = self.deadline(timeout)
        while not (value := condition()):
            if self.time() > deadline:
                self.fail(otherwise() if callable(otherwise) else otherwise)
            time.sleep(pause)
        return value

    def find(self, pattern):
        """All lines so far that match `pattern`."""
        with self.changed:
            return [line for line in self.lines if re.search(pattern, line)]

    def check(self):
        """Called when the test has passed, before the machine is stopped: fails if the machine has seen what must not
        be."""

    def count(self, pattern, wanted):
        """Fails unless exactly `wanted` lines so far match `pattern`."""
        found = self.find(pattern)
        if len(found) != wanted:
            self.fail(f"{len(found)} lines match {pattern!r}, not {wanted}")
        return found
