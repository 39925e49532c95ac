"""The second test machine itself (bochs.py): Weir finds its units and uses them, its devices work in a guest's hands,
and the control socket reaches what it should."""
import socket

import pytest

from bochs import DISK, EDU, NIC, Net
from patience import PAUSE, patiently
from test_network import Guest
from weir import BUILD, IDLE

CONTROL = "/boot/control.elf kernel name=control mem=16M control"
CPU = [BUILD / "tests/guests/cpu.elf"]


@pytest.mark.quick
def test_weir_boots(bochs, tmp_path):
    """With everything that the machine has: a unit that was not started would let every device reach all memory."""
    nic, disk = Net(), tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    weir = bochs([CONTROL, f"/boot/net.elf kernel name=net0 mem=64M pci={NIC}",
                  f"/boot/cpu.elf kernel name=d mem=64M pci={DISK} -- cpuid"], files=CPU, nics=[nic], disk=disk)
    weir.wait_ready()
    weir.wait_for(r"net0\| net: serving http")
    # No guest of ours drives the disk; test_bochs_linux.py does.
    weir.wait_for(rf"domain d: device {DISK} \(1af4:1042\) at {DISK}, \d+ MSI-X vectors")
    weir.wait_for(r"d\| \d+ passed, 0 failed")
    weir.count(r"error: ", 0)
    for address in (NIC, DISK, *EDU):
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


def test_a_wire(bochs, tmp_path):
    """The test itself is at the other end of the network device's wire, with frames of its own."""
    nic = Net(wire=tmp_path / "net")
    weir = bochs([f"/boot/net.elf kernel name=net0 mem=64M pci={NIC} -- ip=10.0.2.15"], nics=[nic], edu=0)
    weir.wait_for(r"net0\| net: serving http")
    mine, guests = (bytes.fromhex(mac) for mac in ("020000000001", "525400123403"))
    ask, answer = (bytes.fromhex("0806 0001 0800 06 04") + bytes([0, kind]) for kind in (1, 2))
    my_address, address = bytes([10, 0, 2, 2]), bytes([10, 0, 2, 15])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.bind(str(tmp_path / "peer"))
        peer.settimeout(PAUSE)
        # What the guest sent before anybody was there.
        lost = weir.number("net0.socket.lost")
        peer.sendto(b"\xff" * 6 + mine + ask + mine + my_address + bytes(6) + address, str(nic.wire))
        seen = b""
        while not seen.startswith(mine + guests + answer + guests + address + mine + my_address):
            seen = patiently(weir, 30, peer.recv, 2048)
        assert weir.number("net0.socket.lost") == lost


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
