"""The processor that a guest sees, probed from inside: exceptions, MSRs, CPUID, the virtual APIC, instructions on
absent memory, several vCPUs, the FPU. The guest prints one line per check."""
import re

from both import both_machines, with_bochs
from weir import BUILD, IDLE, ROOT

CPU = BUILD / "tests/guests/cpu.elf"


@with_bochs("smp", [1, 2, 4], [2])
def test_each_check_of_the_processor_passes(boot, smp):
    weir = boot(["/boot/cpu.elf kernel name=c mem=64M vcpus=2"], files=[CPU], smp=smp, cmdline="exit=idle")
    assert weir.wait_exit(60) == IDLE
    weir.count(r"c\| FAIL", 0)
    weir.count(r"c\| PASS ports: OUTS$", 1)
    weir.count(r"c\| rtc: text by port 0xe9$", 1)
    passed = int(weir.wait_for(r"c\| (\d+) passed, 0 failed", 1)[1])
    # The README states the number of checks on QEMU. Bochs' processor has XSAVEC, one check more.
    stated = int(re.findall(r"(\d+) checks", (ROOT / "README.md").read_text())[0])
    assert passed - len(weir.find(r"c\| PASS contract: nor does XSAVEC$")) == stated


@both_machines
def test_triple_faults(boot):
    """An exception that Weir injects, and no interrupt table, in each mode: only this domain ends."""
    modes = (16, 32, 64)
    weir = boot([f"/boot/cpu.elf kernel name=t{bits} mem=16M -- triple-{bits}" for bits in modes], files=[CPU],
                cmdline="exit=idle")
    assert weir.wait_exit(60) == IDLE
    weir.count(r"\| FAIL", 0)
    for bits in modes:
        weir.count(rf"domain t{bits}: ended by Weir: vCPU 0: triple fault at RIP", 1)


@both_machines
def test_a_group_without_its_device_fails(boot):
    """What is asked for by name, and cannot run, is no success."""
    groups = ["attack-msix", "config", "dma", "faults", "flood", "machine", "msi", "remap", "storm", "toggle"]
    weir = boot([f"/boot/cpu.elf kernel name=c mem=64M -- {' '.join(groups)}"], files=[CPU], cmdline="exit=idle")
    assert weir.wait_exit(60) == IDLE
    weir.count(r"c\| FAIL \w+: needs an? .*\(pci=\)", len(groups))
    weir.count(rf"c\| 0 passed, {len(groups)} failed", 1)


def test_interrupts_by_counted_time(boot):
    """With counted time, QEMU also stops after a number of instructions, where otherwise only an interrupt would stop
    it."""
    weir = boot(["/boot/cpu.elf kernel name=c mem=64M -- apic"], files=[CPU], smp=1, cmdline="exit=idle", counted=0)
    assert weir.wait_exit(60) == IDLE
    weir.count(r"c\| FAIL", 0)
    weir.count(r"c\| \d+ passed, 0 failed", 1)


def test_two_such_guests_do_not_disturb_each_other(boot):
    weir = boot([f"/boot/cpu.elf kernel name=c{i} mem=64M vcpus=2" for i in range(2)], files=[CPU], smp=2,
                cmdline="exit=idle")
    assert weir.wait_exit(90) == IDLE
    for i in range(2):
        weir.count(rf"c{i}\| FAIL", 0)
        weir.count(rf"c{i}\| \d+ passed, 0 failed", 1)
