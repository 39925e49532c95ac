"""Guests that reboot are started again: memory, processors and devices as new, by each way in which a kernel reboots a PC."""
import re

import pytest

from weir import BUILD, IDLE

CPU = BUILD / "tests/guests/cpu.elf"
# kernel/restart.h
RESTARTS = 5


def all_passed(weir, lives):
    weir.count(r"c\| FAIL", 0)
    counts = {re.search(r"restart: (\d+) passed", line)[1] for line in weir.count(r"c\| restart: \d+ passed, 0 failed", lives)}
    assert len(counts) == 1 and int(counts.pop()) > 15, counts


@pytest.mark.parametrize("way, words", [("acpi", ""), ("keyboard", ""), ("hypercall", "restart=reboot"), ("vector", ""), ("fault", "restart=fault")])
def test_each_life_is_like_the_first(boot, way, words):
    """Until there were too many."""
    weir = boot([f"/boot/cpu.elf kernel name=c mem=64M vcpus=2 {words} -- restart-{way}"], files=[CPU], smp=2, cmdline="exit=idle")
    assert weir.wait_exit(120) == IDLE
    all_passed(weir, RESTARTS + 1)
    weir.count(r"domain c: .*: it is started again", RESTARTS)
    weir.count(rf"domain c: was started again {RESTARTS} times in 60 seconds: it is not once more", 1)
    weir.count(r"domain c: its 16384 pages are free again", 1)


def test_a_device_stays_and_is_as_new(boot):
    """Its DMA that was under way at the reboot does not reach the next life."""
    weir = boot(["/boot/cpu.elf kernel name=c mem=64M vcpus=2 pci=00:03.0 -- restart-acpi"], files=[CPU], smp=2, cmdline="exit=idle",
                qemu=["-device", "edu,addr=3,dma_mask=0xffffffffffffffff"])
    assert weir.wait_exit(120) == IDLE
    all_passed(weir, RESTARTS + 1)
    weir.count(r"domain c: device 00:03.0 .* at 00:03.0", RESTARTS + 1)
    weir.count(r"iommu: fault", 0)


@pytest.mark.parametrize("way, words, end", [("acpi", "restart=never", "asked for a reboot, status 0"),
                                             ("fault", "", "ended by Weir: vCPU 0: triple fault at RIP")])
def test_a_line_decides(boot, way, words, end):
    weir = boot([f"/boot/cpu.elf kernel name=c mem=64M {words} -- restart-{way}"], files=[CPU], cmdline="exit=idle")
    assert weir.wait_exit(60) == IDLE
    weir.count(rf"domain c: {end}", 1)
    weir.count(r"started again", 0)
