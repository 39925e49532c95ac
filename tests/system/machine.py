"""The machine under test as the hardware sees it: its RAM, shared with the test through a file, and QEMU's monitor;
bochs.py shows the other machine. Weir is not involved, so it cannot hide changes that it did not notice."""
import functools
import hashlib
import mmap
import re
import socket

from monitor import Monitor, symbols_of
from weir import BUILD, Nic

PAGE = 4096
IMAGE_BASE = 0xFFFFFFFF80000000
DIRECT_MAP = 0xFFFF800000000000


class Ram:
    """The RAM in which an image of Weir runs. All of it is below 2 GiB, so an address is an offset."""

    def __init__(self, ram, elf=BUILD / "boot/weir.elf"):
        self.ram, self.elf = ram, elf

    @functools.cached_property
    def symbols(self):
        return {name: address for address, _, name in symbols_of(self.elf)}

    def symbol(self, name):
        """The machine address of one of Weir's symbols."""
        return self.symbols[name] - IMAGE_BASE

    def number(self, address):
        return int.from_bytes(self.ram[address:address + 8], "little")

    def pointer(self, name):
        """The machine address to which one of Weir's pointers points."""
        return self.number(self.symbol(name)) - DIRECT_MAP

    def page_hash(self, address):
        address &= ~(PAGE - 1)
        return hashlib.sha256(self.ram[address:address + PAGE]).hexdigest()

    def pages_of(self, byte):
        """The addresses of all pages that are filled with this byte."""
        page, found = bytes([byte]) * PAGE, []
        at = self.ram.find(page)
        while at >= 0:
            if at % PAGE == 0:
                found.append(at)
            at = self.ram.find(page, at + PAGE - at % PAGE)
        return found

    def frame(self, address):
        """A page's type and owner in the frame table (kernel/mm/frame.c)."""
        word = self.number(self.frame_records + 16 * (address // PAGE))
        return word >> 28 & 15, ~(word >> 47) & 0xFFFF

    @functools.cached_property
    def frame_records(self):
        return self.pointer("frame_records")


class View(Ram):
    """The RAM and the registers of a machine, the same for each kind of machine. `ecam`: where it has its ECAM."""

    ecam = None

    def options(self, edu=False):
        """Words for boot(), with a device at 00:05.0 that is a DMA engine, or without."""
        raise NotImplementedError

    def register(self, address):
        """Reads a 64-bit register, or a word of memory."""
        raise NotImplementedError

    def bar(self, slot):
        """The address of the first memory BAR that the function 00:`slot`.0 has."""
        header = b"".join(self.register(self.ecam + (slot << 15) + at).to_bytes(8, "little") for at in (16, 24, 32))
        bars = [int.from_bytes(header[at:at + 4], "little") for at in range(0, len(header), 4)]
        # Bit 0: of I/O ports. 2:1: 64 bits wide, all of them below 4 GiB.
        return next(bar & ~15 for bar in bars if bar & ~15 and not bar & 1)


class Bus:
    """QEMU's qtest: accesses on the machine's bus without a CPU. Create it before the machine boots, and pass it
    `options`."""

    def __init__(self, directory):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(directory / "qtest"))
        self.listener.listen(1)
        self.options = ["-chardev", f"socket,id=qtest,path={directory}/qtest", "-qtest", "chardev:qtest",
                        "-qtest-log", "/dev/null"]
        self.file = None

    def close(self):
        if self.file:
            self.file.close()
        self.listener.close()

    def ask(self, command):
        """Executes a command. The CPUs run between two commands."""
        if not self.file:
            connection, _ = self.listener.accept()
            self.file = connection.makefile("rw", buffering=1)
            connection.close()
        self.file.write(command + "\n")
        answer = self.file.readline()
        assert answer.startswith("OK"), (command, answer)

    def write32(self, address, value):
        self.ask(f"writel 0x{address:x} 0x{value:x}")


class Machine(View):
    """Create it before the machine boots, and pass that its `qemu`, or options()."""

    ecam = 0xB0000000

    def __init__(self, directory, megabytes):
        assert megabytes <= 2048
        self.ram_file, monitor = directory / "ram", Monitor(directory / "monitor")
        with open(self.ram_file, "w+b") as file:
            file.truncate(megabytes << 20)
            super().__init__(mmap.mmap(file.fileno(), 0))
        self.qemu = ["-object", f"memory-backend-file,id=ram,size={megabytes}M,share=on,mem-path={self.ram_file}",
                     "-machine", "memory-backend=ram", *monitor.options]
        self.monitor = monitor.ask

    def close(self):
        self.ram.close()
        self.ram_file.unlink()

    def options(self, edu=False):
        return {"qemu": self.qemu + (["-device", "edu,addr=5,dma_mask=0xffffffffffffffff"] if edu else [])}

    @staticmethod
    def nic():
        return Nic()

    def register(self, address):
        return int(re.search(rf"{address:016x}: 0x([0-9a-f]+)", self.monitor(f"xp /1gx 0x{address:x}"))[1], 16)

    def bars(self, name):
        """The memory BARs of the devices of this type: (first address, last address)."""
        devices = re.split(r"\n  Bus ", self.monitor("info pci"))
        return [tuple(int(n, 16) for n in bar) for d in devices if name in d
                for bar in re.findall(r"memory at (0x[0-9a-f]+) \[(0x[0-9a-f]+)\]", d)]
