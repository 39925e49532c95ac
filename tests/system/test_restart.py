"""Guests that reboot are restarted with fresh memory, processors and devices, for each way in which a kernel reboots a
PC."""
import http.client
import re
import time

import pytest

from both import with_bochs
from patience import http_request
from test_control import Load, table
from test_fuzz import attack, free_mib
from test_network import MB, Guest
from weir import BUILD, IDLE, AtsNic, PortNic

CPU = BUILD / "tests/guests/cpu.elf"
# kernel/guest/lifecycle/restart.h
RESTARTS, WINDOW_S = 5, 60


def all_passed(weir, lives):
    weir.count(r"c\| FAIL", 0)
    sums = weir.count(r"c\| restart: \d+ passed, 0 failed", lives)
    counts = {re.search(r"restart: (\d+) passed", line)[1] for line in sums}
    assert len(counts) == 1 and int(counts.pop()) > 15, counts


@with_bochs("way, words", [("acpi", ""), ("keyboard", ""), ("control", ""), ("hypercall", "restart=reboot"),
                           ("vector", ""), ("fault", "restart=fault")],
            [("acpi", ""), ("fault", "restart=fault")])
def test_each_life_is_like_the_first(boot, way, words):
    """Until the limit of restarts is reached."""
    weir = boot([f"/boot/cpu.elf kernel name=c mem=64M vcpus=2 {words} -- restart-{way}"], files=[CPU], smp=2,
                cmdline="exit=idle")
    assert weir.wait_exit(120) == IDLE
    all_passed(weir, RESTARTS + 1)
    weir.count(r"domain c: .*: restarting", RESTARTS)
    weir.count(rf"domain c: it has been restarted {RESTARTS} times in 60 seconds and ends now", 1)
    weir.count(r"domain c: its 16384 pages are free again", 1)


@with_bochs("vcpus", [1, 2], [2])
def test_a_guest_that_halts(boot, vcpus):
    """It is shown as such, ended, or restarted, as its line says."""
    line = "/boot/cpu.elf kernel name={0} mem=64M vcpus={1} halt={0} -- halt"
    weir = boot(["/boot/control.elf kernel name=control mem=16M control"]
                + [line.format(policy, vcpus) for policy in ("keep", "restart", "end")], files=[CPU], smp=2,
                cmdline="exit=idle")
    weir.wait_for(r"domain end: its 16384 pages are free again")
    weir.count(r"domain end: halted, status 0$", 1)
    weir.wait_for(rf"domain restart: it has been restarted {RESTARTS} times in 60 seconds and ends now")
    weir.count(r"domain restart: halted, status 0: restarting", RESTARTS)
    weir.wait_for(r"domain keep: halted: all its vCPUs wait with interrupts disabled")
    assert table(weir, "domains")["2"][1:3] == ["keep", "halted"]
    weir.command("destroy keep")


def test_a_device_stays_and_is_as_new(boot):
    """DMA that was in flight at the reboot does not reach the restarted guest."""
    weir = boot(["/boot/cpu.elf kernel name=c mem=64M vcpus=2 pci=00:03.0 -- restart-acpi"], files=[CPU], smp=2,
                cmdline="exit=idle",
                qemu=["-device", "edu,addr=3,dma_mask=0xffffffffffffffff"])
    assert weir.wait_exit(120) == IDLE
    all_passed(weir, RESTARTS + 1)
    weir.count(r"domain c: device 00:03.0 .* at 00:03.0", RESTARTS + 1)
    weir.count(r"iommu: fault", 0)


@pytest.mark.parametrize("way, words, end", [("acpi", "restart=never", "asked for a reboot, status 0"),
                                             ("fault", "", "ended by Weir: vCPU 0: triple fault at RIP")])
def test_the_module_line_decides_about_restarts(boot, way, words, end):
    weir = boot([f"/boot/cpu.elf kernel name=c mem=64M {words} -- restart-{way}"], files=[CPU], cmdline="exit=idle")
    assert weir.wait_exit(60) == IDLE
    weir.count(rf"domain c: {end}", 1)
    weir.count(r"restarting", 0)
    # What the guest was doing at its fault.
    faults = way == "fault"
    weir.count(r"  rip 0008:0{10}[0-9a-f]{6}  rsp ", faults)
    weir.count(r"  while vector \d+ was delivered", faults)
    weir.count(r"  idt [0-9a-f]+ limit [0-9a-f]+", faults)
    weir.count(r"us ago  domain \d+ vcpu 0  SHUTDOWN \(0x7f\)  rip 0", faults)


def test_a_state_that_only_the_emulator_lets_a_guest_have(boot):
    weir = boot(["/boot/cpu.elf kernel name=c mem=64M -- restart-cr0"], files=[CPU], cmdline="exit=idle")
    assert weir.wait_exit(60) == IDLE
    weir.count(r"domain c: ended by Weir: vCPU 0: the processor refuses its state at RIP 0x[0-9a-f]+: "
               r"the emulator has replaced it, perhaps CR0.NW without CR0.CD$", 1)
    weir.count(r"domain c: its 16384 pages are free again", 1)


def reboot(weir, guest):
    """Asks the guest to reboot. The request arrives among other packets, and the guest may have no buffer left for
    it."""
    lives = len(weir.find(rf"{guest.name}\| net: serving http"))
    try:
        http_request(weir, guest.nic.tcp(80), "GET", "/reboot", seconds=1)
        weir.fail("a guest answered although it should have rebooted")
    except (OSError, http.client.HTTPException):
        pass
    weir.wait_until(lambda: len(weir.find(rf"{guest.name}\| net: serving http")) > lives,
                    f"{guest.name} does not serve requests after the restart", 60)


@pytest.mark.parametrize("times", [RESTARTS, pytest.param(8 * RESTARTS, marks=pytest.mark.long)])
@pytest.mark.parametrize("nic, function",
                         [(lambda: PortNic(5, "e1000e"), "01:00.0"), (lambda: AtsNic(5), "01:00.0,ats")],
                         ids=["e1000e", "virtio-ats"])
def test_rebooted_in_a_loop_under_traffic(boot, nic, function, times):
    """A guest reboots repeatedly while its NIC moves frames by DMA. If the NIC were not stopped and its translations
    removed before the restarted guest's first instruction, it would write into the new memory; and whatever a restart
    leaked (a page, a table, a reference, an interrupt) would be missing at the end. Requests to the other guest are
    served all the time."""
    again = nic()
    seen = []

    def rebooted(weir):
        guest = Guest(weir, again, "again")
        weir.wait_for(r"again\| net: serving http", 60)
        with Load(weir, again) as load:
            for n in range(times):
                began = time.monotonic()
                load.wait_for_more(weir)
                seen.append((guest.stats()["hypervisor"], free_mib(weir)))
                reboot(weir, guest)
                load.wait_for_more(weir)
                # Weir terminates a domain that restarts too often.
                time.sleep(max(0, WINDOW_S / RESTARTS + 0.5 - (time.monotonic() - began)) if times > RESTARTS else 0)
        seen.append((guest.settled(), free_mib(weir)))
        return True

    weir = attack(boot, [f"/boot/net.elf kernel name=again mem=64M pci={function}"], 1, until=rebooted, nics=[again])
    weir.count(r"domain again: .*: restarting", times)
    weir.count(r"iommu: fault|again: ended by Weir", 0)
    for stats, free in seen:
        assert stats["pages_owned"] == 64 * MB // 4096 and stats["io_faults"] == 0, stats
        assert stats["io_references"] == seen[0][0]["io_references"], (stats, seen[0])
        assert abs(free - seen[0][1]) <= 1, [free for _, free in seen]
