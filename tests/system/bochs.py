"""Weir on the other test machine: Bochs with the parts of tests/bochs, which has a remapping unit that is late and
strict, and processors of AMD and of Intel. What tests set and read while it runs are knobs: Bochs.get() and set()."""
import os
import pathlib
import random
import socket
import subprocess
import zlib

import acpitables
from bochscontrol import CommonClock, Control, Memory
from machine import View
from machineclock import MachineClock
from weir import BUILD, Failure, Nic, Weir

NIC, DISK = "00:03.0", "00:04.0"
# Devices of their own; and two functions of one device.
EDU, PEERS = ("00:05.0", "00:06.0"), ("00:07.0", "00:07.1")
# What Bochs has by itself: the host bridge, and functions of the PIIX3.
CHIPSET = ("00:00.0", "00:01.0", "00:01.1", "00:01.2", "00:01.3")
UNITS = (0xFED90000, 0xFED91000)
ECAM = 0xE0000000
# The models of processors, and their words.
AMD, INTEL = "ryzen", "corei7_haswell_4770"
# In x2APIC mode Bochs lacks the registers that the APIC of this model says to have beyond Intel's.
MODELS = {AMD: 'model=ryzen, add_features="x2apic", exclude_features="xapicext"'}
BIOS, VGA_BIOS = "/usr/share/bochs/BIOS-bochs-latest", "/usr/share/vgabios/vgabios.bin"
LOG_TAIL = 30

CONFIGURATION = """\
config_interface: textconfig
display_library: nogui
plugin_ctrl: biosdev=0, weir=1
memory: guest={mem}, host={mem}
romimage: file={bios}, options=fastboot
vgaromimage: file={vga_bios}
vga: extension=none
boot: cdrom
ata0: enabled=1
ata0-master: type=cdrom, path={image}, status=inserted
ata1: enabled=0
floppy_bootsig_check: disabled=1
cpu: {model}, count={smp}, ips=200000000, reset_on_triple_fault=0
clock: sync=none, time0=1700000000
pci: enabled=1, chipset=i440fx
com1: enabled=1, mode=socket-client, dev=127.0.0.1:{port}
parport1: enabled=0
mouse: enabled=0
log: {log}
panic: action=fatal
error: action=ignore
info: action=report
debug: action=ignore
"""


class Net(Nic):
    """The virtio network device at 00:03.0, with ports of the host that are forwarded to the guest. `wire`: instead,
    the path of a socket at which each datagram is a frame (tests/bochs/devices/socketnet.h)."""

    def __init__(self, wire=None, **ports):
        super().__init__(**(ports if wire is None else {"tcp": ()}))
        self.wire = wire

    def words(self):
        yield "net", 1
        if self.wire:
            yield "net.socket", self.wire
        for (kind, guest), host in self.ports.items():
            yield "net.hostfwd", f"{kind}:{host}:{guest}"


def choose_seed(name):
    """Of the units' whims: one of its own for each test, so that a run repeats the last one. WHIMS=N is another, and
    WHIMS=random one that nobody knows."""
    wanted = os.environ.get("WHIMS") or zlib.crc32(name.encode())
    return random.randrange(1, 1 << 31) if wanted == "random" else int(wanted) % (1 << 31) or 1


class Bochs(Weir):
    """One machine, Bochs. `model`: of its processors. `knobs`: words of tests/bochs/glue/configuration.h, or knobs.
    `edu`: how many of these functions there are. `disk`: the file of the virtio disk. `rmrr`: (first, last, address of
    a function). `misuses`: Weir may break rules of the specification in this test. Unless the test sets vtdN.whims, the
    units choose by a seed (choose_seed()) what the specification leaves to them."""

    program, program_log = "Bochs", "bochs.log"

    def __init__(self, directory, modules=(), cmdline="", files=(), smp=2, mem="512M", nics=(), elf=None,
                 head="set timeout=0\n", knobs=None, edu=4, model=AMD, disk=None, rmrr=(), misuses=False):
        self.prepare(directory, modules, cmdline, files, elf, head)
        if (BUILD / "bochs/failed").exists():
            raise Failure("Bochs or its plugin could not be built (BOCHS=none leaves its tests out):\n"
                          + (BUILD / "bochs/log").read_text(errors="replace")[-2000:])
        self.smp, self.mem, self.model, self.rmrr, self.misuses = smp, mem, model, rmrr, misuses
        self.place = pathlib.Path((BUILD / "bochs/where").read_text().strip())
        settings = dict(knobs or {})
        self.units = int(settings.get("units", 1))
        self.seed = choose_seed(self.directory.name)
        for unit in range(self.units):
            settings.setdefault(f"vtd{unit}.whims", self.seed + unit)
        self.words = [("edu", edu), *((f"edu{i}.ats", 1) for i in range(edu)), *self.unit_words(edu),
                      *(word for nic in nics for word in nic.words()), *settings.items()]
        if disk:
            self.words.append(("blk", disk))
        self.edu, self.nics, self.disk = edu, nics, disk
        self.report = self.directory / "knobs"
        self.report.unlink(missing_ok=True)
        self.control = Control(f"{self.sockets.name}/control", self.report)
        self.words += [("control", self.control.path), ("report", self.report)]
        self.serial = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(1)

    def unit_words(self, edu):
        """The second of two units has the second edu."""
        return [("scope1", EDU[1])] if self.units == 2 and edu > 1 else []

    def functions(self):
        """The addresses of our functions."""
        ours = [NIC] if self.nics else []
        ours += [DISK] if self.disk else []
        return ours + [*EDU[:self.edu], *(f"00:07.{i}" for i in range(max(0, self.edu - 2)))]

    def tables(self):
        """One unit has all functions. Of two, each has the functions that its table entry names."""
        interrupts = [acpitables.ioapic(self.smp)]
        if self.units == 1:
            structures = [acpitables.drhd(UNITS[0], interrupts, include_all=True)]
        else:
            second = [EDU[1]]
            first = [address for address in (*CHIPSET, *self.functions()) if address not in second]
            structures = [acpitables.drhd(UNITS[0], interrupts + [acpitables.endpoint(a) for a in first]),
                          acpitables.drhd(UNITS[1], [acpitables.endpoint(a) for a in second])]
        structures += [acpitables.rmrr(first, last, [acpitables.endpoint(a)]) for first, last, a in self.rmrr]
        dmar, mcfg = self.directory / "dmar.aml", self.directory / "mcfg.aml"
        dmar.write_bytes(acpitables.dmar([*structures, acpitables.atsr()]))
        mcfg.write_bytes(acpitables.mcfg(ECAM))
        return [dmar, mcfg]

    def configuration(self, image):
        """Writes Bochs' configuration and returns its path."""
        path = self.directory / "bochsrc"
        text = CONFIGURATION.format(
            mem=int(self.mem.removesuffix("M")), bios=BIOS, vga_bios=VGA_BIOS, image=image, smp=self.smp,
            model=MODELS.get(self.model, f"model={self.model}"), port=self.listener.getsockname()[1],
            log=self.directory / "machine.log")
        path.write_text(text + "".join(f"weir: {name}={value}\n" for name, value in self.words))
        return path

    def plugins(self):
        """A folder with Bochs' plugins and ours: it looks into one only."""
        folder = pathlib.Path(self.sockets.name) / "plugins"
        folder.mkdir()
        for plugin in [*(self.place / "plugins").iterdir(), (BUILD / "bochs/libbx_weir.so").resolve()]:
            (folder / plugin.name).symlink_to(plugin)
        return folder

    def start(self, image):
        environment = dict(os.environ, LTDL_LIBRARY_PATH=str(self.plugins()))
        return subprocess.Popen([self.place / "bochs", "-q", "-f", self.configuration(image)], env=environment,
                                cwd=self.directory, stdin=subprocess.DEVNULL, stdout=self.stderr, stderr=self.stderr)

    def make_clock(self):
        self.control.clock = MachineClock(self.process.pid).time
        return CommonClock(self.control.clock, lambda: int(self.control.ask("time")) / 1e9)

    def receive(self, most):
        while not self.serial:
            try:
                self.serial, _ = self.listener.accept()
            except TimeoutError:
                if self.process.poll() is not None:
                    return b""
        try:
            return self.serial.recv(most)
        except OSError:  # it has been killed
            return b""

    def type(self, text):
        self.serial.sendall(text.encode())

    def close(self):
        self.control.close()
        self.listener.close()
        if self.serial:
            self.serial.close()

    def said(self):
        log = self.directory / "machine.log"
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
        return "\n".join([super().said(), f"({log}, its end:)", *lines[-LOG_TAIL:]])

    def where(self):
        status = self.process.poll() if self.process else None
        ended = "" if status is None else f"Bochs has ended (status {status}). "
        if self.control.stands_still:
            ended = f"The machine's time stands still: no answer in {self.control.patience} s of Bochs. "
        return f"{ended}The units' choices: WHIMS={self.seed} repeats them."

    # --- knobs ----------------------------------------------------------------

    def get(self, name):
        """A knob's value, or what it was when the machine ended."""
        try:
            return self.control.ask(f"get {name}")
        except OSError as error:
            last = self.control.last()
            if name not in last:
                self.fail(f"{error!r}: {name} is not known any more")
            return last[name]

    def number(self, name):
        return int(self.get(name))

    def set(self, name, value):
        try:
            self.control.ask(f"set {name} {value}")
        except OSError as error:
            self.fail(f"{name}={value} cannot be set: {error!r}")

    def machine_time(self):
        """Nanoseconds that have passed in the machine. They fly while its processors halt."""
        try:
            return int(self.control.ask("time"))
        except OSError:
            return int(self.get("time"))

    def wait_for_knob(self, name, condition, timeout=30):
        """Waits until condition(number) holds, and returns the number."""
        last = [None]

        def holds():
            last[0] = self.number(name)
            return condition(last[0])
        self.wait_until(holds, lambda: f"{name} stays {last[0]}", timeout)
        return last[0]

    def check(self):
        """Fails if Weir has used a unit in a way that the specification forbids."""
        for unit in range(0 if self.misuses else self.units):
            name = f"vtd{unit}.misuses"
            if self.process.poll() is not None and name not in self.control.last():
                return
            if number := self.number(name):
                lines = [line for line in (self.directory / "machine.log").read_text(errors="replace").splitlines()
                         if "misuse" in line]
                self.fail("\n".join([f"{name} is {number}, not 0:", *lines[:20]]))


class BochsView(View):
    """Weir's machine by its control socket, as machine.Machine shows QEMU's. `bochs()`: the machine, once it runs."""

    ecam = ECAM

    def __init__(self, megabytes, bochs):
        super().__init__(Memory(lambda line: bochs().control.ask(line), megabytes << 20))

    def options(self, edu=False):
        # A guest can release a page while its device is about to write there.
        return {"edu": int(edu), "knobs": {"edu0.dma": 5_000_000} if edu else {}}

    @staticmethod
    def nic():
        return Net()

    def register(self, address):
        return self.number(address)
