"""Linux gives memory back when asked to, with the balloon driver that it already has, and takes it back."""
import hashlib
import re
import time

import pytest

from linux import KERNEL
from linux_guest import BOOT, Guest, sound
from weir import Nic

CONTROL = "/boot/control.elf kernel name=control mem=16M control"
EMPTY = "  linux: 0 MiB requested, 0 MiB given back, 256 of 256 MiB in use"

SCRIPT = """
total() { awk '/MemTotal/ { print $2 }' /proc/meminfo; }
mkdir /tmp; mount -t tmpfs none /tmp
lease eth0
before=$(total)
say ready
while [ $(total) -gt $((before - 60000)) ]; do sleep 1; done
say "less by $(((before - $(total)) / 1024)) MiB"
pinged eth0 10.0.2.2
while [ $(total) -lt $before ]; do sleep 1; done
dd if=/dev/zero of=/tmp/zeros bs=1M count=96 2>/dev/null
say "zeros $(md5sum </tmp/zeros)"
pinged eth0 10.0.2.2
say done
while [ $(total) -gt $((before - 30000)) ]; do sleep 1; done
reboot -f
"""


@pytest.mark.long
def test_linux_gives_memory_back(boot, tmp_path):
    """64 MiB leave a guest that owns a device, become free, and come back zeroed. A request for more than the guest has
    is refused. After a restart the guest has all its memory and an empty balloon."""
    guest = Guest(tmp_path, SCRIPT, ["virtio_pci", "virtio_balloon", "e1000e"], words="balloon pci=00:03.0", vcpus=2)
    weir = boot([CONTROL, *guest.lines], nics=[Nic(tcp=())], files=[KERNEL, guest.initrd], smp=2)
    weir.wait_for(guest.said("ready"), BOOT)

    def free():
        return int(re.search(r"(\d+) MiB free", weir.command("memory")[0])[1])

    before = free()
    assert weir.command("balloon linux 64", timeout=60) == [
        "  linux: 64 MiB requested, 64 MiB given back, 192 of 256 MiB in use"]
    assert free() >= before + 60
    weir.wait_for(guest.said("less by 64 MiB"), 10)
    assert "does not have 256 MiB" in weir.command("balloon linux 256")[0]
    assert weir.command("balloon linux 0", timeout=60) == [EMPTY]
    assert free() <= before + 4
    weir.wait_for(guest.said("done"), 60)
    weir.count(guest.said(f"zeros {hashlib.md5(bytes(96 << 20)).hexdigest()}"), 1)
    weir.count(guest.said("eth0: 5 packets transmitted, 5 packets received"), 2)
    assert "has no balloon" in weir.command("balloon control")[0]

    assert weir.command("balloon linux 32", timeout=60)[0].endswith("224 of 256 MiB in use")
    weir.wait_for(r"domain linux: asked for a reboot, status 0: restarting", 20)
    for _ in range(100):
        if (now := weir.command("balloon linux")) == [EMPTY]:
            break
        time.sleep(0.2)
    assert now[0].endswith("256 of 256 MiB in use")
    sound(weir)
