"""Debian's own kernel as a guest: it boots, finds what it needs, and says nothing of trouble."""
import pytest

from linux import KERNEL, TROUBLE, initrd
from weir import IDLE, Nic

REPORT = """
echo "init: kernel $(uname -r), $(nproc) CPUs, up $(cut -d' ' -f1 /proc/uptime)"
echo "init: clock source $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
before=$(date +%s%N); sleep 2; echo "init: 2 seconds took $((($(date +%s%N) - before) / 10000000))"
grep -E '^ *(LOC|CAL|RES):' /proc/interrupts | sed 's/^/init: /'
"""
LINE = "/boot/vmlinuz kernel name=linux mem=256M vcpus={} {}-- console=ttyS0 panic=-1 {}"
INITRD = "/boot/initrd ramdisk=linux"


def no_trouble(weir):
    weir.count(TROUBLE.pattern, 0)
    weir.count(r"ended by Weir", 0)


@pytest.mark.parametrize("vcpus", [1, 2])
def test_linux_boots_and_powers_off(boot, tmp_path, vcpus):
    weir = boot([LINE.format(vcpus, "", ""), INITRD], smp=vcpus, cmdline="exit=idle",
                files=[KERNEL, initrd(tmp_path / "initrd", REPORT + "poweroff -f\n")])
    weir.wait_for(r"linux\| init: kernel", 120)
    assert weir.wait_exit(60) == IDLE
    weir.count(r"domain linux: kernel by Linux, entry 0x1000000, 1 module", 1)
    weir.count(rf"linux\| init: kernel \S+-amd64, {vcpus} CPUs", 1)
    weir.count(r"linux\| init: clock source (kvm-clock|tsc)", 1)
    weir.count(r"linux\| init: 2 seconds took 20\d$", 1)
    weir.count(r"domain linux: powered off, status 0", 1)
    no_trouble(weir)
