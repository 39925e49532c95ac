"""What an exit costs: the instructions from one that causes an exit to the guest's next, as the guest itself counts
them (tests/guests/test_cost.c). On QEMU, whose processor does not report the next RIP, and on Bochs' ryzen, which
does."""
import os
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/system"))
from bochs import AMD, Bochs  # noqa: E402
from weir import BUILD, IDLE, Weir  # noqa: E402

CPU = BUILD / "tests/guests/cpu.elf"
PATIENCE = 300

# Name, target on QEMU, and target with the next RIP. What two CPUs do for an IPI is counted together: QEMU runs them in
# turn. Bochs does, too, but lets time pass only after some instructions of each: these rows are left out there.
ROWS = [
    ("OUT to a port that nobody answers", 250, 250),
    ("CPUID", 700, 250),
    ("hypercall `version`", 700, 250),
    ("x2APIC EOI", 850, 400),
    ("x2APIC TPR", 850, 400),
    ("x2APIC ID", 850, 400),
    ("TSC deadline", 850, 400),
    ("initial count of the timer", None, None),
    ("read of trapped memory", 1_500, None),
    ("write to trapped memory", 1_500, None),
    ("IPI to a vCPU that runs on another CPU", None, None),
    ("IPI to a vCPU that sleeps on another CPU", 3_000, None),
]
MODULES = ["/boot/hello.elf kernel name=first mem=16M"]


def counts(weir):
    if weir.wait_exit(PATIENCE) != IDLE:
        weir.fail("Weir did not end")
    weir.count("0 failed", 1)
    lines = weir.find(r"cost: .*: \d+$")
    return {name: int(count) for name, count in (re.search(r"cost: (.*): (\d+)$", line).groups() for line in lines)}


def on_qemu(directory):
    modules = [*MODULES, "/boot/cpu.elf kernel name=g mem=64M vcpus=2 cpu=0 -- cost"]
    with Weir(directory, modules, files=[CPU], counted=0, smp=2, cmdline="exit=idle", mem="512M") as weir:
        return counts(weir)


def on_bochs(directory):
    """One instruction is one tick of its time-stamp counter. With one CPU, the counter is exact at any instruction."""
    modules = [*MODULES, "/boot/cpu.elf kernel name=g mem=64M -- cost"]
    with Bochs(directory, modules, files=[CPU], smp=1, cmdline="exit=idle", model=AMD, edu=0,
               knobs={"vtd0.whims": 0}) as weir:
        return counts(weir)


def cells(count, target):
    missed = count and target and count > target
    verdict = f"  missed, {count / target:.2f}x" if missed else "  met" if count and target else ""
    return f"{'-' if count is None else format(count, ','):>9}{format(target, ',') if target else '-':>9}{verdict:16}"


def main():
    with tempfile.TemporaryDirectory(dir=BUILD) as directory:
        qemu = on_qemu(directory)
    bochs = {}
    if os.environ.get("BOCHS") == "none":
        print("BOCHS=none: its column is left out")
    else:
        with tempfile.TemporaryDirectory(dir=BUILD) as directory:
            bochs = on_bochs(directory)
    print(f"{'instructions of an exit':42}{'QEMU':>9}{'target':>9}{'':16}{'next RIP':>9}{'target':>9}")
    for name, target, target_next in ROWS:
        print(f"{name:42}{cells(qemu[name], target)}{cells(bochs.get(name), target_next)}".rstrip())


main()
