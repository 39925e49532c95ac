"""Guests that turn their devices against the others: each test tells the attack first, and who would have been hurt by it."""
import re

from weir import BUILD

EDU = ["-device", "edu,addr=5,dma_mask=0xffffffffffffffff"]
FILES = [BUILD / "tests/guests/cpu.elf"]


def spins(weir, name, after, before):
    """Rounds a second that domain `name` made between two lines of the log."""
    rounds, inside = [], False
    for line in weir.lines:
        inside = inside or bool(re.search(after, line))
        if re.search(before, line):
            break
        found = re.search(rf"{name}\| net: spin \d+: (\d+) rounds", line)
        if found and inside:
            rounds.append(int(found[1]))
    assert len(rounds) > 2, f"{name} made no rounds between {after} and {before}: it was starved"
    return (rounds[-1] - rounds[0]) / (len(rounds) - 1)


def finished(weir, name, timeout=60):
    """Waits for the end of the test guest `name`, all of whose checks must have passed."""
    weir.wait_for(rf"{name}\| \d+ passed, \d+ failed", timeout)
    weir.count(rf"{name}\| FAIL", 0)


def test_interrupt_storm(boot):
    """One CPU raises interrupts as fast as it can, all for the other one, where a bystander works: it would come to nearly
    nothing there. The limit is the lowest one: on a busy host few interrupts come through at all, and each costs more than elsewhere."""
    weir = boot(["/boot/net.elf kernel name=by mem=64M cpu=0 -- test=spin",
                 "/boot/cpu.elf kernel name=e mem=64M vcpus=2 cpu=1 pci=00:05.0 -- storm"], files=FILES, smp=2, qemu=EDU,
                cmdline="irq-limit=100")
    finished(weir, "e")
    quiet = spins(weir, "by", "PASS storm: vector", "storm: begins")
    under = spins(weir, "by", "storm: begins", "storm: ends")
    assert under > quiet / 4, (quiet, under)
    raised, delivered, pauses, windows = map(int, weir.wait_for(
        r"(\d+) raised, (\d+) delivered, (\d+) pauses in (\d+) windows").groups())
    assert raised > 10 * delivered and pauses
    # One a window, one more that the device is paused at, and one in place of those that were lost.
    assert delivered <= 3 * (windows + 2)
    # Told once, not at each pause.
    weir.count(r"warning: domain e: device 00:05.0 raises more than 100 interrupts a second", 1)
