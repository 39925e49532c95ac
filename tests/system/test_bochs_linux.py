"""Debian's Linux as a guest on the other machine: its drivers work with devices behind a unit that answers late."""
import hashlib
import random

import pytest

from bochs import DISK, NIC, Net
from linux import KERNEL
from linux_guest import BOOT, Guest, number, sound
from linux_net import Host
from weir import IDLE

KB = 1 << 10
US = 1000

# The disk has two halves. The first is read, the second is written.
SCRIPT = """
lease eth0
pinged eth0 10.0.2.2
fetch eth0 {host.get}
send eth0 {host.put}
say "eth0 took $(($(taken 0 virtio0-input) + $(taken 1 virtio0-input))) interrupts"
until [ -b /dev/vda ]; do sleep 0.1; done
say "disk is $(dd if=/dev/vda bs=64k count={blocks} iflag=direct 2>/dev/null | md5sum)"
dd if=/data of=/dev/vda bs=64k seek={blocks} oflag=direct conv=notrunc,fsync 2>/dev/null
say "copy is $(dd if=/dev/vda bs=64k skip={blocks} iflag=direct 2>/dev/null | md5sum)"
say done
poweroff -f
"""


@pytest.mark.long
@pytest.mark.parametrize("delay", [pytest.param(0, id="at-once"), pytest.param(20 * US, id="20us")])
def test_linux_with_two_devices(bochs, tmp_path, delay):
    """A virtio network device and a virtio disk move data by DMA and MSI-X through the unit; what arrives is compared
    on the host, and a translation or an interrupt that the unit blocks would be a fault in the log."""
    size = 512 * KB
    image = tmp_path / "disk"
    first = random.Random(7).randbytes(size)
    image.write_bytes(first + bytes(size))
    with Host(size) as host:
        guest = Guest(tmp_path, SCRIPT.format(host=host, blocks=size // (64 * KB)),
                      ["virtio_pci", "virtio_net", "virtio_blk"], words=f"pci={NIC},{DISK}")
        weir = bochs(guest.lines, cmdline="exit=idle", nics=[Net(tcp=())], disk=image, files=[KERNEL, guest.initrd],
                     smp=2, edu=0, knobs={"vtd0.delay": delay})
        weir.wait_for(guest.said("eth0 has 10.0.2.15"), 2 * BOOT)
        weir.wait_for(guest.said("done"), 2 * BOOT)
        assert weir.wait_exit(60) == IDLE
    weir.count(guest.said("eth0: 5 packets transmitted, 5 packets received"), 1)
    weir.count(guest.said(f"eth0 got {host.md5}"), 1)
    weir.count(guest.said(f"eth0 sent {host.md5}"), 1)
    assert number(weir, guest.said(r"eth0 took (\d+) interrupts")) > 10
    weir.count(guest.said(f"disk is {hashlib.md5(first).hexdigest()}"), 1)
    weir.count(guest.said(f"copy is {host.md5}"), 1)
    data = image.read_bytes()
    assert data[:size] == first, "the guest has written to what it should only read"
    assert hashlib.md5(data[size:]).hexdigest() == host.md5
    assert weir.number("vtd0.walks") > 0
    sound(weir)
