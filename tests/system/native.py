"""A guest's ELF file on QEMU's machine, without Weir."""
import os
import subprocess
import threading

from machineclock import MachineClock
from weir import Weir

QEMU = os.environ.get("QEMU") or "qemu-system-x86_64"


class Native(Weir):
    """The guest's ELF file on QEMU's machine, without Weir."""

    def __init__(self, directory, elf, append="", qemu=(), nics=(), smp=1):
        super().__init__(directory, qemu=qemu, nics=nics, smp=smp)
        self.elf, self.append, self.smp = elf, append, smp

    def __enter__(self):
        self.take_cpus()
        self.stderr = open(self.directory / "qemu.log", "w+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(
            [QEMU, "-nodefaults", "-no-user-config", "-M", "q35",
             "-accel", "tcg", "-cpu", "EPYC-v4,+x2apic", "-smp", str(self.smp), "-m", "128M",
             "-display", "none", "-no-reboot", "-serial", "stdio",
             "-kernel", self.elf, "-append", self.append, *self.options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.stderr)
        self.clock = MachineClock(self.process.pid)
        self.last_output = self.time()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        return self
