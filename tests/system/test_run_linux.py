"""What `make run-linux` starts: its menu and its ramdisk, as the README describes."""
import re

import pytest

from linux import KERNEL, LINUX, initrd
from test_console import Consoles
from linux_guest import BOOT
from weir import ROOT, Nic


@pytest.mark.long
def test_the_menu_of_run_linux_boots(boot, tmp_path):
    menu = re.findall(r"module2 (.*)", (ROOT / "boot/grub-linux.cfg").read_text())
    ramdisk = initrd(tmp_path / "initrd", (ROOT / "boot/linux-init").read_text(), sorted(LINUX.glob("*.ko")))
    weir = boot(menu, nics=[Nic(tcp=())], files=[KERNEL, ramdisk], smp=2, mem="1G")
    weir.wait_for(r"linux\| Linux \S+ in Weir: 2 CPUs, address 10\.0\.2\.15/24", BOOT)
    weir.wait_prompt()
    console = Consoles(weir)
    console.open("linux")
    weir.type("\r")
    console.prompt("/ # ")
    weir.type("grep eth0 /proc/interrupts\r")
    weir.wait_for(r"PCI-MSI \S+ +eth0-rx-0")
    console.leave("linux")
    assert weir.command("balloon linux 128", timeout=60) == [
        "  linux: 128 MiB requested, 128 MiB given back, 384 of 512 MiB in use"]
