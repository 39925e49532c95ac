"""What an exit costs: the instructions from one that causes an exit to the guest's next, as the guest itself counts
them (tests/guests/test_cost.c)."""
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/system"))
from weir import BUILD, IDLE, Weir  # noqa: E402

CPU = BUILD / "tests/guests/cpu.elf"
PATIENCE = 300

# Name and target. What two CPUs do for an IPI is counted together: QEMU runs them in turn.
ROWS = [
    ("OUT to a port that nobody answers", 250),
    ("CPUID", 700),
    ("hypercall `version`", 700),
    ("x2APIC EOI", 850),
    ("x2APIC TPR", 850),
    ("x2APIC ID", 850),
    ("TSC deadline", 850),
    ("initial count of the timer", None),
    ("read of trapped memory", 1_500),
    ("write to trapped memory", 1_500),
    ("IPI to a vCPU that runs on another CPU", None),
    ("IPI to a vCPU that sleeps on another CPU", 3_000),
]


def measure(directory):
    modules = ["/boot/hello.elf kernel name=first mem=16M", "/boot/cpu.elf kernel name=g mem=64M vcpus=2 cpu=0 -- cost"]
    with Weir(directory, modules, files=[CPU], counted=0, smp=2, cmdline="exit=idle", mem="512M") as weir:
        if weir.wait_exit(PATIENCE) != IDLE:
            weir.fail("Weir did not end")
        lines = weir.find(r"cost: .*: \d+$")
        weir.count("0 failed", 1)
    return {name: int(count) for name, count in (re.search(r"cost: (.*): (\d+)$", line).groups() for line in lines)}


def main():
    with tempfile.TemporaryDirectory(dir=BUILD) as directory:
        counts = measure(directory)
    print(f"{'instructions of an exit':44}{'Weir':>10}{'target':>11}")
    for name, target in ROWS:
        count = counts[name]
        verdict = "" if target is None else "  met" if count <= target else f"  missed: {count / target:.2f} of it"
        print(f"{name:44}{count:>10,}{format(target, ',') if target else '-':>11}{verdict}")


main()
