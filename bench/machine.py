"""Debian's Linux with an e1000e, natively and as Weir's guest on the same QEMU, and a shell in it over the network."""
import pathlib
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/system"))
from linux import KERNEL, LINUX, TROUBLE, initrd  # noqa: E402
from qemu import Probe  # noqa: E402
from weir import Nic, Weir  # noqa: E402

# Seconds: no operation takes this long on a working machine.
PATIENCE = 240

HTTP, ECHO, SHELL = 80, 7, 23
COMMAND_LINE = "console=ttyS0 panic=-1"

SCRIPT = f"""
echo "init: shell"
insmod /bin/e1000e.ko
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
mkdir /www
httpd -p {HTTP} -h /www
nc -ll -p {ECHO} -e cat &
nc -ll -p {SHELL} -e sh &
while ! ping -c 1 -W 1 10.0.2.2 >/dev/null; do sleep 0.1; done
echo "init: ready"
sleep 1000000
"""


def initramfs(directory):
    return initrd(pathlib.Path(directory) / "initrd", SCRIPT, [LINUX / "e1000e.ko"])


class Machine(Weir):
    """QEMU, stopped when the kernel is entered at ENTRY: from there the kernel's own loader inspects the machine and
    unpacks the kernel. With `counted`, QEMU counts the instructions that it executes."""

    silence = PATIENCE

    def __init__(self, directory, counted, nics, qemu=(), **options):
        self.nics = nics
        pathlib.Path(directory).mkdir()
        self.probe = Probe(directory)
        super().__init__(directory, nics=nics, qemu=[*qemu, *self.probe.options], counted=0 if counted else None,
                         **options)

    def __enter__(self):
        super().__enter__()
        try:
            self.probe.attach()
            self.probe.debugger.run_to(self.ENTRY)
        except BaseException:
            self.__exit__()
            raise
        return self

    def go(self):
        self.probe.debugger.go()

    def instructions(self):
        """The number of instructions executed so far; 0 if they are not counted."""
        return self.probe.monitor.instructions()

    def exits(self):
        """The number of exits from the guest, by reason."""
        return {}

    def no_trouble(self):
        trouble = self.find(TROUBLE.pattern)
        if trouble:
            self.fail(f"Linux reports a problem: {trouble[0]}")


class Native(Machine):
    """The kernel may drive the remapping unit itself, which then protects it from its NIC, as Weir does for guests. It
    does not test whether its timer ticks: on a busy host the ticks come too late for that test, and Linux panics."""

    ENTRY, APPEND = 0x100000, f"{COMMAND_LINE} no_timer_check"

    def __init__(self, directory, initrd_file, counted=False, cpus=1):
        super().__init__(directory, counted, [Nic(tcp=(HTTP, ECHO, SHELL))], mem="256M", smp=cpus,
                         qemu=["-kernel", str(KERNEL), "-initrd", str(initrd_file), "-append", self.APPEND])

    def image(self):
        return "/dev/null"

    def wait_ready(self, timeout=PATIENCE):
        self.wait_for("init: ready", timeout)


class Unprotected(Native):
    APPEND = f"{Native.APPEND} intel_iommu=off"


class Guest(Machine):
    """Guests linux0, linux1..., each with its own CPU and e1000e, and the control domain."""

    ENTRY = 0x1000000

    def __init__(self, directory, initrd_file, counted=False, cpus=1):
        self.names = [f"linux{i}" for i in range(cpus)]
        modules = ["/boot/control.elf kernel name=control mem=16M control"]
        for i, name in enumerate(self.names):
            modules += [f"/boot/vmlinuz kernel name={name} mem=256M cpu={i} pci=00:{3 + i:02x}.0 -- {COMMAND_LINE}",
                        f"/boot/initrd ramdisk={name}"]
        super().__init__(directory, counted, [Nic(3 + i, tcp=(HTTP, ECHO, SHELL)) for i in range(cpus)],
                         modules=modules,
                         files=[KERNEL, initrd_file], mem=f"{256 + 288 * cpus}M", smp=cpus)

    def wait_ready(self, timeout=PATIENCE):
        for name in self.names:
            self.wait_for(rf"{name}\| init: ready", timeout)

    def exits(self):
        rows = (line.rsplit(None, 1) for line in self.command(f"exits {self.names[0]}"))
        return {reason.strip(): int(count) for reason, count in rows}


class Shell:
    """A shell in the guest behind this NIC."""

    def __init__(self, nic):
        self.file = socket.create_connection(("127.0.0.1", nic.tcp(SHELL)), timeout=PATIENCE).makefile("rw")

    def run(self, command):
        self.file.write(f"{command}; echo END\n")
        self.file.flush()
        return [line.rstrip("\n") for line in iter(self.file.readline, "END\n")]
