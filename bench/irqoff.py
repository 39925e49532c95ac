"""How long Weir disables interrupts, in instructions, in what makes it work longest. A debug image measures it
(kernel/core/irqoff.h); QEMU counts instructions, with each repetition of a string instruction. ROWS=NAME: only the rows
with this in their name."""
import os
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/system"))
from weir import BUILD, DEBUG_ELF, IDLE, Nic, Weir  # noqa: E402

LIMIT = 200_000
CPU, FUZZ = BUILD / "tests/guests/cpu.elf", BUILD / "tests/guests/fuzz.elf"
PATIENCE = 1800

FIRST = "/boot/hello.elf kernel name=first mem=16M"
EDU = ["-device", "edu,addr=5,dma_mask=0xffffffffffffffff"]


def memory_of_host():
    """In GiB, as far as it can be used now."""
    text = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8")
    return int(re.search(r"MemAvailable: *(\d+)", text)[1]) >> 20


def guest(words, mem, more=""):
    return f"/boot/cpu.elf kernel name=g mem={mem} {more} -- {words}"


def rows(large):
    """Name, module lines, and options of the machine."""
    machine = {"mem": f"{large + 1}G"}
    return [
        (f"build, clear and end {large} GiB", [FIRST, f"/boot/hello.elf kernel name=g mem={large}G"], machine),
        (f"give {large} GiB back in one call, take it again", [FIRST, guest("bulk", f"{large}G")], machine),
        ("the same, 3 GiB that a device reaches", [FIRST, guest("bulk", "3G", "pci=00:05.0")],
         {"mem": "4G", "qemu": EDU}),
        ("detach a device from 1,000 superpages", [FIRST, guest("split", "2064M", "pci=00:05.0")],
         {"mem": "4G", "qemu": EDU}),
        ("a flood of faults", [FIRST, guest("burst", "64M", "pci=00:04.0")], {"mem": "512M", "nics": [Nic(slot=4)]}),
        ("instructions that Weir emulates", [FIRST, guest("mmio", "64M")], {"mem": "512M"}),
        ("toggle 2,048 MSI-X entries (its guest sees 64)", [FIRST, guest("toggle", "64M", "pci=00:05.0")],
         {"mem": "512M", "qemu": ["-device", "nvme,serial=1,addr=5,max_ioqpairs=2047,msix_qsize=2048"]}),
        ("a guest that logs without end",
         [FIRST, "/boot/fuzz.elf kernel name=g mem=32M -- only=log steps=3000"], {"mem": "512M"}),
    ]


def measure(directory, modules, options):
    with Weir(directory, modules, files=[CPU, FUZZ], elf=DEBUG_ELF, counted=0, smp=1, cmdline="exit=idle",
              **options) as weir:
        if weir.wait_exit(PATIENCE) != IDLE:
            weir.fail("Weir did not end")
        longest = weir.count(r"irqoff: CPU 0: \d+ counts at most", 1)[0]
        parts = [re.search(r"at most (\d+) in (\w+)", line).groups() for line in weir.find(r"irqoff:   at most")]
    return int(re.search(r"CPU 0: (\d+)", longest)[1]), sorted(((int(n), name) for n, name in parts), reverse=True)


def main():
    large = 16 if memory_of_host() >= 18 else 8 if memory_of_host() >= 10 else 3
    print(f"{'instructions with interrupts disabled':50}{'longest':>10}")
    for name, modules, options in rows(large):
        if os.environ.get("ROWS", "") not in name:
            continue
        with tempfile.TemporaryDirectory(dir=BUILD) as directory:
            longest, parts = measure(directory, modules, options)
        verdict = "" if longest <= LIMIT else f"  above {LIMIT:,}"
        print(f"{name:50}{longest:>10,}{verdict}")
        print("".join(f"    {part:46}{count:>10,}\n" for count, part in parts[:4]), end="", flush=True)


main()
