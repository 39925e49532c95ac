"""Debian's own drivers in a guest that owns the device: what they do with it while others watch."""
import json
import re
import time
import urllib.request

import pytest

from linux import KERNEL, TROUBLE, drivers, initrd
from linux_net import COMMAND_LINE, SCRIPT, Host
from weir import IDLE, Nic, SriovNic

MB = 1 << 20
BOOT = 180
DRIVER_TROUBLE = r"Hardware Unit Hang|NETDEV WATCHDOG|Reset adapter|does not load|got no address"


class Guest:
    """A Linux guest and its module lines. `script` is the end of its /init."""

    def __init__(self, tmp_path, script, modules, name="linux", words="", mem="256M", vcpus=2, files=()):
        files = [*drivers(*modules), *files]
        self.name = name
        self.lines = [f"/boot/vmlinuz kernel name={name} mem={mem} vcpus={vcpus} {words} -- {COMMAND_LINE}",
                      f"/boot/{name}.initrd ramdisk={name}"]
        load = f"load {' '.join(file.stem for file in files if file.suffix == '.ko')}\n"
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


CONTROL = "/boot/control.elf kernel name=control mem=16M prio=200 control pci=01:00.0"

# The other guest's address is of a network of their own, behind the same link.
VIRTUAL = """
lease eth0
pinged eth0 10.0.2.2
ip addr add 192.168.9.{number}/24 dev eth0
fetch eth0 {host.get}
send eth0 {host.put}
until ping -c 1 -W 1 192.168.9.{other} >/dev/null; do :; done
pinged eth0 192.168.9.{other}
say done
while :; do ping -c 1 -W 1 10.0.2.2 >/dev/null && say alive; sleep 1; done
"""


def still_alive(weir, guest, timeout=60):
    """Waits until the guest has reached 10.0.2.2 twice more: the first answer may have been under way."""
    before, deadline = len(weir.find(guest.said("alive"))), time.monotonic() + timeout
    while len(weir.find(guest.said("alive"))) < before + 2:
        if time.monotonic() > deadline:
            weir.fail(f"{guest.name} does not reach 10.0.2.2 any more")
        time.sleep(0.5)


def test_virtual_functions(boot, tmp_path):
    """Two guests with a virtual function each of a device that the control domain has, and lwIP's guest with a NIC of its own beside
    them. The two reach each other by the device's own switch."""
    nic = Nic(3)
    with Host(8 * MB) as host:
        guests = [Guest(tmp_path, VIRTUAL.format(host=host, number=n, other=3 - n), ["igbvf"], name=f"linux{n}", vcpus=1,
                        words=f"pci={function}") for n, function in ((1, "01:10.0"), (2, "01:10.2"))]
        weir = boot([CONTROL, *(line for guest in guests for line in guest.lines),
                     "/boot/net.elf kernel name=net0 mem=64M pci=00:03.0"], cmdline="sriov=01:00.0,2", mem="1G",
                    nics=[SriovNic(4, tcp=()), nic], files=[KERNEL, *(guest.initrd for guest in guests)])
        weir.wait_for("serves 2 virtual functions")
        weir.wait_for("net0.*serving http", 60)
        for guest in guests:
            weir.wait_for(guest.said(r"eth0 has 10\.0\.2"), BOOT)
        requests = 0
        while not all(weir.find(guest.said("done")) for guest in guests):
            with urllib.request.urlopen(f"http://127.0.0.1:{nic.tcp()}/stats.json", timeout=60) as answer:
                assert json.load(answer)["hypervisor"]
            requests += 1
            if requests > 2000:
                weir.fail("the guests are not done")
            time.sleep(0.1)
    for n, guest in enumerate(guests, 1):
        weir.count(guest.said("eth0: 5 packets transmitted, 5 packets received"), 2)
        weir.count(guest.said(f"eth0 got {host.md5}"), 1)
        weir.count(guest.said(f"eth0 sent {host.md5}"), 1)
    # Each has its own requester id: two domains' tables were walked.
    devices = "\n".join(weir.command("devices"))
    for function, owner in (("01:00.0", "control"), ("01:10.0", "linux1"), ("01:10.2", "linux2"), ("00:03.0", "net0")):
        assert re.search(rf"{function} .* {owner} +attached", devices)
    # One is taken away, and the other does not notice; the physical function is for the control domain only.
    assert weir.command("detach 01:10.0") == ["01:10.0: detached from linux1, free"]
    still_alive(weir, guests[1])
    assert weir.command("detach 01:00.0") == ["01:00.0: detached from control, free"]
    assert "only the control domain may have it" in weir.command("attach 01:00.0 net0")[0]
    assert weir.command("attach 01:00.0 control") == ["01:00.0: attached to control"]
    still_alive(weir, guests[1])
    sound(weir)
