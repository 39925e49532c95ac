"""Guests that attack the time of others (tests/guests/test_attack.c), each beside a bystander that uses its CPU
(tests/guests/test_watch.c). What came of it is judged by what Weir and the bystander count, never by the host's clock.
Forged messages are in test_hostile.py."""
import re

import pytest

from weir import BUILD, DEBUG_ELF, IDLE, Nic

FILES = [BUILD / "tests/guests/cpu.elf"]
NVME = ["-device", "nvme,addr=5,serial=weir,msix_qsize=2048"]
WATCH = "/boot/cpu.elf kernel name=by mem=16M cpu=0 prio=200 -- watch"


def watched(weir, after=r"by\| watch: begins", before=r"by\| watch: ends"):
    """The bystander's lines between two lines of the log: (rounds, own instructions of 1000, interrupts)."""
    lines, inside = [], False
    for line in weir.lines:
        if inside and re.search(before, line):
            break
        found = re.search(r"by\| watch: (\d+) rounds, (\d+) of 1000, (\d+) interrupts", line)
        if found and inside:
            lines.append(tuple(map(int, found.groups())))
        inside = inside or bool(re.search(after, line))
    assert lines, f"the bystander has no line between {after} and {before}"
    return lines


def test_init_for_a_vcpu_that_is_offline(boot):
    """The attacker is on CPU 1, and sends INIT to a vCPU of its own that would run on CPU 0, where the bystander is.
    Nothing changes by it, so the bystander must not be interrupted for it."""
    weir = boot([WATCH, "/boot/cpu.elf kernel name=e mem=16M vcpus=2 cpu=1 -- attack-init"], files=FILES, smp=2,
                cmdline="exit=idle")
    weir.wait_for(r"e\| attack: ends", 120)
    assert weir.wait_exit(180) == IDLE
    interrupts = [line[2] for line in watched(weir, r"e\| attack: begins", r"e\| attack: ends")]
    print(f"interrupts of the bystander in each interval: {interrupts}")
    assert sum(interrupts) < 5 * len(interrupts)


def test_timers_of_vcpus_that_sleep(boot):
    """48 vCPUs of lower priority sleep on the bystander's CPU, and each has a timer that asks for 50,000 interrupts a
    second. The time is counted in instructions: nine of ten remain the bystander's."""
    weir = boot([WATCH] + [f"/boot/cpu.elf kernel name=t{i} mem=16M vcpus=16 cpu=0 -- attack-timers" for i in range(3)],
                files=FILES, smp=1, counted=0)
    for i in range(3):
        weir.wait_for(rf"t{i}\| attack: begins, 1\d timers", 120)
    weir.wait_for(r"by\| watch: ends", 180)
    lines = watched(weir)
    print(f"own instructions, of 1000: {sorted(line[1] for line in lines)}")
    assert min(line[1] for line in lines) >= 900


def test_a_device_with_2048_vectors(boot):
    """A guest unmasks all the vectors that it sees of a device that has 2,048. The NIC of another guest on this CPU,
    which is attached later, has all its vectors."""
    weir = boot(["/boot/cpu.elf kernel name=e mem=16M cpu=0 pci=00:05.0 -- attack-msix",
                 "/boot/cpu.elf kernel name=by mem=16M cpu=0 pci=00:04.0 -- attack-msix"], files=FILES, smp=1,
                nics=[Nic(slot=4)], qemu=NVME, cmdline="exit=idle")
    seen = int(weir.wait_for(r"domain e: device 00:05.0: its guest sees (\d+) of its 2048 MSI-X vectors")[1])
    assert 60 <= seen <= 64
    weir.wait_for(r"domain by: device 00:04.0 \(8086:10d3\) at 00:04.0, 5 MSI-X vectors")
    weir.wait_for(rf"e\| attack: begins, {seen} vectors", 60)
    weir.wait_for(r"by\| attack: begins, 5 vectors", 60)
    assert weir.wait_exit(120) == IDLE
    weir.count(r"vectors are in use|no interrupt", 0)


def test_switching_many_vectors(boot):
    """The guest switches them on and off as a whole. No step of Weir's takes long for it."""
    weir = boot(["/boot/cpu.elf kernel name=e mem=16M pci=00:05.0 -- attack-msix"], files=FILES, smp=1, elf=DEBUG_ELF,
                qemu=NVME, cmdline="exit=idle", counted=0)
    weir.wait_for(r"e\| attack: ends", 120)
    assert weir.wait_exit() == IDLE
    longest = int(weir.wait_for(r"irqoff: CPU 0: (\d+) counts at most")[1])
    print(f"the longest stretch without interrupts: {longest} instructions")
    assert longest < 200000


@pytest.mark.parametrize("device", ["edu", "e1000e"])
def test_storm_for_the_bystanders_cpu(boot, device):
    """The attacker raises interrupts as fast as it can, for a vCPU on the bystander's CPU. Each one that is taken costs
    the bystander an exit, whether its guest gets it or not; so do the end of each pause, and the unit's answers when
    the entries are blocked and opened."""
    weir = boot([WATCH, "/boot/cpu.elf kernel name=e mem=16M vcpus=2 cpu=1 pci=00:05.0 -- storm"], files=FILES, smp=2,
                qemu=["-device", "edu,addr=5"] if device == "edu" else (),
                nics=[Nic(slot=5)] if device == "e1000e" else [], cmdline="irq-limit=100 exit=idle")
    raised, _, pauses, windows = map(int, weir.wait_for(
        r"(\d+) raised, (\d+) delivered, (\d+) pauses in (\d+) windows", 120).groups())
    assert weir.wait_exit(180) == IDLE
    weir.count(r"e\| FAIL", 0)
    interrupts = sum(line[2] for line in watched(weir, r"e\| storm: begins", r"e\| storm: ends"))
    print(f"{raised} raised, {pauses} pauses in {windows} windows, {interrupts} interrupts of the bystander")
    assert pauses and interrupts <= 8 * (windows + 2) and raised > 10 * interrupts
