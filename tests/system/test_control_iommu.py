"""The control domain's identity map: each policy, and memory that is taken out of it for other domains and returned."""
import re

import pytest

from test_network import Guest
from weir import BUILD, IDLE, Nic

CONTROL = "/boot/hello.elf kernel name=ctl mem=16M control"
IDENTITY = r"iommu: identity-mapped (\d+) MiB \(\d+ ranges?\) for the control domain's devices, " \
    r"including (\d+) MiB of borrowed free memory"
NET = "/boot/net.elf kernel name=net0 mem=64M pci=00:03.0"


@pytest.mark.parametrize("policy", ["none", "strict", "relaxed", "inclusive"])
def test_each_policy_maps_what_it_says(boot, policy):
    weir = boot(["/boot/net.elf kernel name=ctl mem=16M control", "/boot/hello.elf kernel name=other mem=64M"],
                cmdline=f"control-iommu={policy}", iommu="intremap=on")
    weir.wait_for(r"domain other: its \d+ pages are free again")
    weir.wait_ready()
    if policy == "none":
        weir.count(IDENTITY, 0)
    else:
        mapped, lent = map(int, weir.wait_for(IDENTITY).groups())
        assert mapped - lent == 16
        assert lent == 0 if policy == "strict" else lent > 400
    weir.count(r"iommu: mapped \d+ reserved pages \(\d+ ranges?\) for the control", int(policy == "inclusive"))


@pytest.mark.parametrize("policy", ["none", "strict", "relaxed", "inclusive"])
def test_the_control_domain_ends_at_once(boot, policy):
    """Perhaps before all that is free has been lent to its devices."""
    weir = boot([CONTROL, "/boot/hello.elf kernel name=other mem=64M"], cmdline=f"control-iommu={policy} exit=idle",
                iommu="intremap=on")
    assert weir.wait_exit() == IDLE
    weir.count(r"domain other: powered off", 1)
    weir.count(r"domain ctl: its \d+ pages are free again", 1)


@pytest.mark.parametrize("policy", ["none", "strict", "relaxed"])
def test_dma_of_the_control_domain(boot, policy):
    """Its device reaches its memory at the addresses that the guest gets from Weir; without an identity map these are
    guest addresses."""
    weir = boot(["/boot/cpu.elf kernel name=ctl mem=64M control pci=00:05.0 -- machine"],
                files=[BUILD / "tests/guests/cpu.elf"],
                cmdline=f"control-iommu={policy} exit=idle", qemu=["-device", "edu,addr=5,dma_mask=0xffffffffffffffff"])
    assert weir.wait_exit() == IDLE
    weir.count(r"PASS machine: it arrives", 1)
    weir.count(rf"machine: addresses are the {'guest' if policy == 'none' else 'machine'}'s", 1)
    weir.count(r"FAIL", 0)
    # At the address of the guest's own image is Weir's image, or free memory, which may have been lent already.
    faults = len(weir.find(r"iommu: fault: device 00:05.0 of ctl: write of address"))
    assert faults in {"none": [0], "strict": [1], "relaxed": [0, 1]}[policy]
    weir.count(r"domain ctl: its \d+ pages are free again", 1)


def test_memory_is_carved_out_and_comes_back(boot):
    """All free memory is lent: each domain's memory must first be unmapped for the control domain's devices."""
    net = Nic()
    weir = boot(["/boot/net.elf kernel name=ctl mem=32M control", NET, "/boot/hello.elf kernel name=big mem=300M"],
                cmdline="control-iommu=relaxed", nics=[net], mem="512M")
    weir.wait_for(r"domain big: its \d+ pages are free again")
    weir.wait_for(r"net0\| net: serving")
    assert Guest(weir, net).stats()["hypervisor"]["io_entries"]["2m"] == 32


def test_there_is_one_control_domain(boot):
    weir = boot([CONTROL, "/boot/hello.elf kernel name=two mem=16M control"], cmdline="exit=idle")
    assert weir.wait_exit() == IDLE
    weir.count(r"module 1: control: domain ctl is the control domain already", 1)
    weir.count(r"domain ctl: powered off", 1)
    weir.count(r"domain two", 0)
