"""Debian's own kernel as a guest: it boots, finds what it needs, and says nothing of trouble."""
import time

import pytest

from linux import KERNEL, TROUBLE, initrd
from weir import IDLE, PROMPT

LINE = "/boot/vmlinuz kernel name=linux mem=256M vcpus={} {} -- console=ttyS0 panic=-1"
INITRD = "/boot/initrd ramdisk=linux"
# TCG unpacks the kernel in some ten seconds, where nothing else runs.
BOOT = 180

REPORT = """
echo "init: kernel $(uname -r), $(nproc) CPUs"
echo "init: clock source $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
echo "init: date $(date +%s)"
before=$(date +%s%N); sleep 2; echo "init: 2 seconds took $((($(date +%s%N) - before) / 100000000)) tenths"
"""


def no_trouble(weir):
    weir.count(TROUBLE.pattern, 0)
    weir.count(r"ended by Weir", 0)


def number(weir, pattern):
    return int(weir.wait_for(pattern, 1)[1])


@pytest.mark.long
@pytest.mark.parametrize("vcpus", [1, 2])
def test_linux_boots_and_powers_off(boot, tmp_path, vcpus):
    weir = boot([LINE.format(vcpus, ""), INITRD], smp=vcpus, cmdline="exit=idle",
                files=[KERNEL, initrd(tmp_path / "initrd", REPORT + "poweroff -f\n")])
    weir.wait_for(r"linux\| init: kernel", BOOT)
    assert weir.wait_exit(60) == IDLE
    weir.count(r"domain linux: kernel by Linux, entry 0x1000000, 1 module", 1)
    weir.count(rf"linux\| init: kernel \S+-amd64, {vcpus} CPUs", 1)
    weir.count(r"linux\| init: clock source (kvm-clock|tsc)", 1)
    assert abs(number(weir, r"init: date (\d+)") - time.time()) < 600
    assert number(weir, r"init: 2 seconds took (\d+) tenths") >= 20
    weir.count(r"domain linux: powered off, status 0", 1)
    no_trouble(weir)


@pytest.mark.long
def test_reboot_ends_the_domain(boot, tmp_path):
    weir = boot([LINE.format(1, ""), INITRD], cmdline="exit=idle", files=[KERNEL, initrd(tmp_path / "initrd", "reboot -f\n")])
    weir.wait_for(r"domain linux: asked for a reboot, status 0", BOOT)
    assert weir.wait_exit() == IDLE
    no_trouble(weir)


@pytest.mark.long
def test_shell_on_the_console(boot, tmp_path):
    """As the control domain, Linux has the console: its UART's input too, which its driver polls."""
    script = f"export PS1='{PROMPT}'\nexec setsid cttyhack sh\n"
    weir = boot([LINE.format(1, "control"), INITRD], cmdline="exit=idle", files=[KERNEL, initrd(tmp_path / "initrd", script)])
    weir.wait_prompt(timeout=BOOT)
    assert weir.command("echo $((6 * 7))") == ["42"]
    assert weir.command("cat /proc/cmdline") == ["console=ttyS0 panic=-1"]
    weir.type("poweroff -f\r")
    assert weir.wait_exit() == IDLE
    no_trouble(weir)
