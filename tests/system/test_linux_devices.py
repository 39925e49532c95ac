"""Debian's own drivers in a guest that owns the device: what they do with it while others watch."""
import pytest

from linux import KERNEL, TROUBLE, drivers, initrd
from linux_net import COMMAND_LINE, SCRIPT, Host
from weir import IDLE, Nic

MB = 1 << 20
BOOT = 180
DRIVER_TROUBLE = r"Hardware Unit Hang|NETDEV WATCHDOG|Reset adapter|does not load|got no address"


class Guest:
    """A Linux guest and its module lines. `script` is the end of its /init."""

    def __init__(self, tmp_path, script, modules, name="linux", words="", mem="256M", vcpus=2):
        files = drivers(*modules)
        self.name = name
        self.lines = [f"/boot/vmlinuz kernel name={name} mem={mem} vcpus={vcpus} {words} -- {COMMAND_LINE}",
                      f"/boot/{name}.initrd ramdisk={name}"]
        load = f"load {' '.join(file.stem for file in files)}\n"
        self.initrd = initrd(tmp_path / f"{name}.initrd", SCRIPT + load + script, files)

    def said(self, what):
        return rf"{self.name}\| .*init: {what}"


def number(weir, pattern):
    return int(weir.wait_for(pattern, 1)[1])


def sound(weir):
    """Neither Linux nor Weir complained."""
    weir.count(TROUBLE.pattern, 0)
    weir.count(DRIVER_TROUBLE, 0)
    weir.count(r"iommu: fault", 0)
    weir.count(r"ended by Weir", 0)


NETWORK = """
lease eth0
pinged eth0 10.0.2.2
fetch eth0 {host.get}
send eth0 {host.put}
for cpu in $(seq 0 $(($(nproc) - 1))); do say "eth0 on CPU $cpu: $(taken $cpu eth0)"; done
say "interrupts of eth0: $(irqs eth0 | wc -l)"
say done
poweroff -f
"""


@pytest.mark.parametrize("model, vcpus, vectors", [
    ("e1000e", 2, 3),
    pytest.param("e1000e", 1, 3, marks=pytest.mark.long),
    pytest.param("igb", 1, 3, marks=pytest.mark.long),
    pytest.param("igb", 2, 5, marks=pytest.mark.long),
])
def test_network(boot, tmp_path, model, vcpus, vectors):
    """DHCP, ping, and megabytes each way. igb has two queues for each CPU, with an interrupt each."""
    with Host(8 * MB) as host:
        guest = Guest(tmp_path, NETWORK.format(host=host), [model], words="pci=00:03.0", vcpus=vcpus)
        weir = boot(guest.lines, cmdline="exit=idle", nics=[Nic(model=model, tcp=())], files=[KERNEL, guest.initrd], smp=vcpus)
        weir.wait_for(guest.said("eth0 has 10.0.2.15"), BOOT)
        weir.wait_for(guest.said("done"), 120)
        assert weir.wait_exit(60) == IDLE
    weir.count(guest.said("eth0: 5 packets transmitted, 5 packets received"), 1)
    weir.count(guest.said(f"eth0 got {host.md5}"), 1)
    weir.count(guest.said(f"eth0 sent {host.md5}"), 1)
    weir.count(guest.said(f"interrupts of eth0: {vectors}"), 1)
    for cpu in range(vcpus):
        assert number(weir, guest.said(rf"eth0 on CPU {cpu}: (\d+)")) > 10
    sound(weir)
