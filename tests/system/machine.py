"""What the hardware knows of the machine under test: its RAM, shared with the test through a file, and QEMU's monitor. Weir is
not asked for anything here, so it cannot hide what was changed behind its back."""
import hashlib
import mmap
import re
import socket
import subprocess

from weir import BUILD

PAGE = 4096
IMAGE_BASE = 0xFFFFFFFF80000000
DIRECT_MAP = 0xFFFF800000000000


class Machine:
    """To be made before the machine boots, which needs `options`. `megabytes` of RAM, all below 4 GiB: then an address is an
    offset."""

    def __init__(self, directory, megabytes):
        assert megabytes <= 2048
        self.ram_file, self.monitor_path = directory / "ram", directory / "monitor"
        with open(self.ram_file, "w+b") as file:
            file.truncate(megabytes << 20)
            self.ram = mmap.mmap(file.fileno(), 0)
        self.options = ["-object", f"memory-backend-file,id=ram,size={megabytes}M,share=on,mem-path={self.ram_file}",
                        "-machine", "memory-backend=ram", "-monitor", f"unix:{self.monitor_path},server=on,wait=off"]
        self.symbols = {}
        for line in subprocess.run(["nm", BUILD / "weir.elf"], capture_output=True, text=True, check=True).stdout.splitlines():
            *address, _, name = line.split()
            if address:
                self.symbols[name] = int(address[0], 16)

    def close(self):
        self.ram.close()
        self.ram_file.unlink()

    def symbol(self, name):
        """The machine address of one of Weir's symbols."""
        return self.symbols[name] - IMAGE_BASE

    def number(self, address):
        return int.from_bytes(self.ram[address:address + 8], "little")

    def pointer(self, name):
        """The machine address that one of Weir's pointers holds."""
        return self.number(self.symbol(name)) - DIRECT_MAP

    def page_hash(self, address):
        address &= ~(PAGE - 1)
        return hashlib.sha256(self.ram[address:address + PAGE]).hexdigest()

    def monitor(self, command):
        """What QEMU's monitor answers."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(str(self.monitor_path))
            answer = b""
            for text in ("", command + "\n"):
                s.sendall(text.encode())
                start = len(answer)
                while not answer.endswith(b"(qemu) ") or len(answer) == start:
                    answer += s.recv(65536)
            return answer[start:].decode(errors="replace")

    def register(self, address):
        """A 64-bit register, or word of memory."""
        return int(re.search(rf"{address:016x}: 0x([0-9a-f]+)", self.monitor(f"xp /1gx 0x{address:x}"))[1], 16)

    def bars(self, name):
        """Memory BARs of the device of this type: (first address, last address)."""
        devices = re.split(r"\n  Bus ", self.monitor("info pci"))
        return [tuple(int(n, 16) for n in bar) for d in devices if name in d
                for bar in re.findall(r"memory at (0x[0-9a-f]+) \[(0x[0-9a-f]+)\]", d)]
