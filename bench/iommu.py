"""Compares instruction counts of the IOMMU core with their targets. The exit status is 1 only if the measurement
failed."""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", "build"))
READY = 33

# Rows: name, target, and the count of another system for the same operation, if known: Linux 6.1 (iommu_map,
# iommu_unmap), Xen 4.20 (identity map).
ROWS = [
    ("map one 4 KiB leaf", 150, 764),
    ("map one 2 MiB leaf", 150, 885),
    ("map one 1 GiB leaf", 150, 852),
    ("map 2 MiB as 4 KiB leaves", 3_000, 12_422),
    ("map 1 GiB as 4 KiB leaves", 1_500_000, 6_060_000),
    ("map a scattered 4 KiB leaf", None, None),
    ("unmap one 4 KiB leaf", 400, 1_524),
    ("unmap 2 MiB of 4 KiB leaves", 400, 1_834),
    ("unmap 1 GiB of 4 KiB leaves", 1_000, 167_249),
    ("split a 1 GiB leaf, unmapping 4 KiB of it", 6_000, None),
    ("identity map of 2 GiB", 8_000, 1_470_000),
    ("release a scattered 4 KiB leaf", 15, None),
]


def measure():
    work = BUILD / "bench"
    menu, iso, log = work / "grub.cfg", work / "iommu.iso", work / "iommu.log"
    menu.write_text("set timeout=0\nmenuentry Weir {\n\tmultiboot2 /boot/weir.elf x2apic=off\n}\n")
    subprocess.run([ROOT / "tools/mkiso", iso, menu, work / "weir.elf"], check=True, stdout=subprocess.DEVNULL)
    # One instruction takes one nanosecond of the machine's time, which is one count of its time-stamp counter.
    status = subprocess.run([ROOT / "tools/qemu", iso, "-icount", "shift=0"], check=False, timeout=300,
                            env=dict(os.environ, ACCEL="tcg,thread=single", SMP="1", MEM="4G", SERIAL=f"file:{log}",
                                     PORT="0", IOMMU="intremap=on")).returncode
    text = log.read_text(errors="replace")
    counts = {name: int(count) for name, count in re.findall(r"bench: (.*): (\d+)", text)}
    if status != READY or counts.get("a loop of 6 instructions") != 6:
        sys.exit(f"bench/iommu.py: QEMU ended with {status}; {log}:\n" + "\n".join(text.splitlines()[-15:]))
    return counts


def main():
    counts = measure()
    print(f"{'instructions':44}{'Weir':>10}{'target':>11}{'others':>11}")
    for name, target, others in ROWS:
        count = counts[name]
        verdict = "" if target is None else "  met" if count <= target else f"  missed: {count / target:.2f} of it"
        known = [format(n, ",") if n else "-" for n in (target, others)]
        print(f"{name:44}{count:>10,}{known[0]:>11}{known[1]:>11}{verdict}")


main()
