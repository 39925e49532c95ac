"""The checks of the processor on the same emulator without Weir: what a guest sees in Weir is what it would see on a
bare machine, except where a table here says why not."""
import pathlib
import re
import subprocess

import pytest

from native import Native, QEMU
from weir import BUILD, IDLE

CPU = BUILD / "tests/guests/cpu.elf"
ENDS = ["-device", "isa-debug-exit,iobase=0xf4"]
WINDOW = 32 << 20  # from 0xfe000000 to 4 GiB

# What Weir's guests find and a bare machine does not have, or QEMU's does not.
ONLY_IN_WEIR = {
    "events: .*": "hypercalls", "memory: .*": "hypercalls", "pv eoi: .*": "KVM's EOI",
    "apic: (TSC deadline, not early|a deadline .*|it is pending before .*|no count in deadline mode|the deadline .*"
    "|the divide register leaves a deadline alone)": "QEMU has no TSC deadline",
    "apic: (five periods of 2 ms|not before 5 ms have passed)": "the rate of the TSC is not known",
    "cpuid: (ABI version|APIC timer rate|TSC rate|Weir's signature|hypervisor bit|nothing after the last .*)":
    "hypervisor leaves",
    "clock: .*": "KVM's clock",
    "emulate: (executing there .*|.*#UD|.*#DF|a page table .*|for an instruction, too|(16|32)-bit code|and again"
    "|.*user.*)": "a ROM can be executed",
    "firmware: .*": "SeaBIOS has its own data",
    "nmi: (another CPU .*|of two at once .*|none in the shadow .*|RFLAGS.TF is not seen in a shadow)":
    "QEMU takes NMIs in shadows, and keeps one",
    "pic: (all lines .*|each takes 2 ms|the fastest .*|not more often .*)": "QEMU has no such limit",
    "ioapic: (all pins are masked|pin 0 as ExtINT)": "SeaBIOS has programmed it; QEMU has no wire there",
    "pit: 2 ms are not .*": "the rate of the TSC is not known",
    "pit: status, no count yet, output low": "SeaBIOS has counted with it",
    "xapic: no page in x2APIC mode": "QEMU leaves it",
    "inject: ..-bit, (VMMCALL, .*|#GP by RDMSR|#UD by an instruction that is not emulated)": "Weir's own",
    "inject: ..-bit, HLT, single step": "QEMU halts",
    "rtc: .*": "SeaBIOS has its own data",
    "mptable: the processors are those of the MADT": "SeaBIOS has one per package",
    "mptable: its version is in its register": "SeaBIOS has an older one",
    "boot: the TSC by counts of 10 ms": "the rate of the TSC is not known",
    "boot: no diagnostic bits": "SeaBIOS has its own data",
    "boot: KVM's leaves are found by a search": "KVM's clock",
    "vga: .*": "the machine has no screen",
    "kbc: (no device .*|nor at .*|a byte for the keyboard .*|and is to be sent again|no second port)": "it has both",
    "contract: one frequency of the TSC": "KVM's clock",
    "cpuid: (no MONITOR|no SVM|nothing in the SVM leaf|TSC deadline timer)": "Weir hides, or adds, the feature",
    "cpuid: .*CR4.*": "QEMU lets every bit of CR4 be written",
    "exceptions: (MONITOR|RDPMC|STGI|VMLOAD|VMRUN) is .*": "Weir hides the feature",
    "msr: (EFER.SVME .*|VM_HSAVE_PA .*)": "Weir hides SVM",
    "msr: (KVM's clock by its first number|the time is stored)": "KVM's clock",
}

# Checks that QEMU fails by itself, with what the manuals say.
EMULATOR = {
    "msr: reading one that does not exist is #GP": "QEMU reads 0 (APM 2, RDMSR: #GP)",
    "msr: writing one that does not exist is #GP": "QEMU ignores it (APM 2, WRMSR: #GP)",
    "msr: a reserved bit in EFER is #GP": "QEMU ignores the bit (APM 2, 3.1.7: MBZ)",
    "msr: clearing LME while paging is #GP": "QEMU clears it (APM 2, 14.6.1)",
    "msr: a reserved type in PAT is #GP": "QEMU has no types (APM 2, 7.8.1)",
    "msr: the TSC can be set": "QEMU ignores it",
    "apic: EOI of anything but 0 is #GP": "QEMU takes it (SDM 3, 11.12.1.2)",
    "apic: reading EOI is #GP": "QEMU reads 0 (SDM 3, 11.12.1.2)",
    "apic: writing ISR is #GP": "QEMU ignores it (SDM 3, 11.12.1.2)",
    "apic: an illegal vector is in the ESR": "QEMU does not look at it (SDM 3, 11.5.3)",
    "apic: a reserved bit of ICR is #GP": "QEMU ignores it (SDM 3, 11.12.1.3)",
    "apic: a reserved bit of SVR is #GP": "QEMU ignores it (SDM 3, 11.12.1.3)",
    "pic: LINT0 with a vector of its own": "QEMU takes any LINT0 for ExtINT, too (SDM 3, 11.5.1)",
    "pic: that acknowledges nothing": "likewise",
    "apic: disabled, it takes no interrupt": "QEMU accepts self-IPIs (SDM 3, 11.4.7.2)",
    **{f"inject: {bits}-bit, a breakpoint on a trapped write, single step": "QEMU raises two #DB (SDM 3, 18.3.1)"
       for bits in (16, 32, 64)},
    **{f"inject: {bits}-bit, a breakpoint on a port, REP OUTS": "QEMU raises one at the end (APM 2, 13.1.3.3)"
       for bits in (16, 32, 64)},
    **{f"inject: {bits}-bit, a breakpoint on an element of STOS": "QEMU raises it at the end, as it may "
       "(APM 2, 13.1.3.2)" for bits in (16, 32, 64)},
    **{f"inject: {bits}-bit, DR7.GD, single step": "QEMU keeps GD, and raises another #DB (SDM 3, 18.2.4)"
       for bits in (16, 32, 64)},
    **{f"inject: {bits}-bit, a breakpoint on a port": "QEMU leaves RF set (APM 2, 3.1.6)" for bits in (32, 64)},
    **{f"inject: 32-bit, a task for {name}": "QEMU does not set RF in the TSS (APM 2, 3.1.6)"
       for name in ("#UD", "#GP")},
}


def firmware(tmp_path):
    """The firmware's ROM, made as large as the window in which the guest expects nothing: QEMU reads 0 where a bus
    without a device reads ones. A ROM of ones also drops what is written."""
    places = subprocess.run([QEMU, "-L", "help"], capture_output=True, text=True, check=True).stdout.split()
    seabios = next(path for p in places if (path := pathlib.Path(p) / "bios-256k.bin").exists())
    rom = tmp_path / "rom.bin"
    rom.write_bytes(seabios.read_bytes().rjust(WINDOW, b"\xff"))
    return rom


def results(machine):
    """The names of the checks that passed, and of those that failed."""
    found = [re.search(r"(PASS|FAIL) (.*?)(: 0x[0-9a-f]+, expected 0x[0-9a-f]+)?$", line)
             for line in machine.find(r"(^|\| )(PASS|FAIL) ")]
    return {m[2] for m in found if m[1] == "PASS"}, {m[2] for m in found if m[1] == "FAIL"}


@pytest.mark.parametrize("cpus", [1, 2])
def test_the_same_checks_pass_without_weir(boot, tmp_path, cpus):
    with Native(tmp_path / "native", CPU, smp=cpus, qemu=["-bios", firmware(tmp_path), *ENDS]) as machine:
        machine.wait_for(r"^\d+ passed, \d+ failed", 60)
        passed, failed = results(machine)
    weir = boot([f"/boot/cpu.elf kernel name=c mem=64M vcpus={cpus}"], files=[CPU], smp=cpus, cmdline="exit=idle")
    assert weir.wait_exit(60) == IDLE
    in_weir, failed_in_weir = results(weir)
    assert not failed_in_weir
    assert failed == set(EMULATOR)
    assert passed | failed <= in_weir
    unexplained = [name for name in sorted(in_weir - passed - failed)
                   if not any(re.fullmatch(pattern, name) for pattern in ONLY_IN_WEIR)]
    assert not unexplained
