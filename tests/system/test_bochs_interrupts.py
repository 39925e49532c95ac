"""Interrupt messages through a unit that checks what QEMU's does not: the format, and the source; and that keeps
interrupt entries until they are invalidated, the blocked ones as well in caching mode."""
import pytest

from bochs import EDU, Net
from test_bochs_late import NET0
from test_control import CONTROL, table
from test_hostile import finished
from test_network import Guest
from weir import BUILD

CPU = [BUILD / "tests/guests/cpu.elf"]
OLD_FORMAT = 13  # messages that tests/guests/test_msi.c sends


@pytest.mark.parametrize("apic", ["x2apic", "xapic"])
def test_forged_messages_are_stopped(bochs, apic):
    """A guest's device sends messages with the handles of another guest's NIC, with unused handles, and in the old
    format: if the unit let them pass, they would be others' interrupts, or Weir's own. Each is a fault of this
    guest."""
    nic = Net()
    weir = bochs([CONTROL, NET0, f"/boot/cpu.elf kernel name=e mem=64M pci={EDU[0]} -- msi"], files=CPU, nics=[nic],
                 cmdline="x2apic=off" if apic == "xapic" else "", knobs={"vtd0.whims": 5})
    weir.wait_for(r"net0\| net: serving http", 60)
    finished(weir, "e", 120)
    weir.count(rf"iommu: fault: device {EDU[0]} of e: interrupt entry 0x0: "
               r"an interrupt in compatibility format is blocked", OLD_FORMAT)
    assert weir.find(rf"iommu: fault: device {EDU[0]} of e: interrupt entry 0x[0-3]: "
                     r"an interrupt names another device's entry"), "a foreign handle was accepted"
    for entry in (0xC8, 0xFF):
        weir.wait_for(rf"interrupt entry 0x{entry:x}: an interrupt names an entry that is not present")
    for entry in (0x1000, 0x7FFF, 0x8000):
        weir.wait_for(rf"interrupt entry 0x{entry:x}: an interrupt names an entry beyond the table")
    weir.count("unexpected interrupt", 0)
    # The others still work: the shell, and the NIC whose handles were forged.
    assert Guest(weir, nic).settled()["io_faults"] == 0
    weir.wait_for(r"domain e: its \d+ pages are free again")
    assert table(weir, "devices")[EDU[0]][4:6] == ["-", "free"]


@pytest.mark.parametrize("mode", ["", "caching-mode"])
def test_a_storm(bochs, mode):
    """A device that interrupts too often is paused: its entries are blocked, and opened again. If it could send before
    the unit has dropped the blocked ones, its interrupt would be a fault, and lost."""
    weir = bochs([f"/boot/cpu.elf kernel name=e mem=64M vcpus=2 cpu=0 pci={EDU[0]} -- storm"], files=CPU, smp=2,
                 cmdline="irq-limit=100",
                 knobs={"vtd0.delay.interrupt": 3_000_000, "vtd0.caching_mode": int(bool(mode))})
    finished(weir, "e", 240)
    weir.count("names an entry that is not present", 0)
