"""The second test machine itself (bochs.py): Weir finds its units and uses them, its devices work in a guest's hands,
and the control socket reaches what it should."""
import pytest

from bochs import EDU, NIC, Net
from test_network import Guest
from weir import BUILD, IDLE

CONTROL = "/boot/control.elf kernel name=control mem=16M control"
CPU = [BUILD / "tests/guests/cpu.elf"]


@pytest.mark.quick
def test_weir_boots(bochs):
    """With everything that the machine has: a unit that was not started would let every device reach all memory."""
    nic = Net()
    weir = bochs([CONTROL, f"/boot/net.elf kernel name=net0 mem=64M pci={NIC}"], nics=[nic])
    weir.wait_ready()
    weir.wait_for(r"net0\| net: serving http")
    weir.count(r"error: ", 0)
    for address in (NIC, *EDU):
        assert any(address in line for line in weir.command("devices")), address
    # The guest's requests went through the unit.
    assert weir.number("vtd0.walks") > 0
    guest = Guest(weir, nic)
    assert guest.settled()["io_faults"] == 0
    assert guest.json("/release?mb=1")["zeroed"]
    weir.count(r"iommu: fault", 0)


def test_two_units(bochs):
    """Each has its devices; a device that a wrong unit translated for would not work."""
    weir = bochs([CONTROL, *(f"/boot/cpu.elf kernel name=e{i} mem=64M pci={EDU[i]} -- msi" for i in (0, 1))], files=CPU,
                 knobs={"units": 2})
    weir.wait_ready()
    for i in (0, 1):
        weir.wait_for(rf"e{i}\| \d+ passed, 0 failed", 120)
    assert weir.number("vtd0.walks") > 0 and weir.number("vtd1.walks") > 0


def test_a_guest_has_a_dma_engine(bochs):
    """A module of tests/guests that QEMU's edu runs."""
    weir = bochs([f"/boot/cpu.elf kernel name=e mem=64M pci={EDU[0]} -- msi"], files=CPU, cmdline="exit=idle")
    assert weir.wait_exit(120) == IDLE
    weir.wait_for(r"e\| \d+ passed, 0 failed")
    assert weir.number("edu0.transfers") > 0


def test_knobs(bochs):
    """They are set and read while the machine runs, and what is wrong is said."""
    weir = bochs([CONTROL])
    weir.wait_ready()
    weir.set("vtd0.delay", 12345)
    assert weir.number("vtd0.delay") == 12345
    before = weir.machine_time()
    weir.wait_until(lambda: weir.machine_time() > before, "the machine's time stands still")
    with pytest.raises(AssertionError, match="names"):
        weir.set("vtd0.colour", "blue")
    with pytest.raises(AssertionError, match="a number is needed"):
        weir.set("vtd0.delay", "blue")
