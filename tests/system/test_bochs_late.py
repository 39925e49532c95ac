"""A unit that takes its time, with the image that everybody boots: pages that it has not flushed have no new owner,
and nobody waits for it but who wants these pages. (On QEMU, test_late.py needs an image that is late by itself.)"""
import re

import pytest

from bochs import EDU, NIC, Net
from test_ats import Asked
from test_control import CONTROL
from test_network import MB, Guest
from weir import BUILD

PAGES = MB // 4096
NET0 = f"/boot/net.elf kernel name=net0 mem=64M cpu=0 pci={NIC}"
# Populates and releases memory all the time without a device, so its releases need no answer from a unit.
HUNGRY = "/boot/fuzz.elf kernel name=hungry mem=64M cpu=1 -- only=memory"
MS = 1_000_000


class Counts:
    """A domain's release counters, as the control domain sees them."""

    def __init__(self, weir, domain):
        lines = weir.command(f"iommu stats {domain}")
        line = next(line for line in lines if "held for release" in line)
        self.held, _, self.posted, self.completed, self.in_flight = map(int, re.findall(r"\d+", line))
        # Bucket i counts the commits that were answered within 2^i us.
        line = next((line for line in lines if "from commit to the last answer" in line), "")
        self.answers = {int(us): int(n) for us, n in re.findall(r"<(\d+) us: (\d+)", line)}
        self.answers |= {1 << 40: int(n) for n in re.findall(r">=\d+ us: (\d+)", line)}


def started(bochs, more=(), **options):
    nic = Net()
    weir = bochs([CONTROL, NET0, *more], nics=[nic], **options)
    weir.wait_for(r"net0\| net: serving http", 60)
    return weir, Guest(weir, nic)


@pytest.mark.parametrize("late", [pytest.param(1, id="1ms"), pytest.param(100, id="100ms"),
                                  pytest.param(10_000, id="10s")])
def test_a_page_is_held(bochs, late):
    """Released pages stay held, for as long as the unit needs, and come back after its interrupt; if they came back
    before, the device would reach another owner's data, and if Weir waited in place, the shell, the guest's HTTP and
    the other guest would stand still."""
    hungry = late < 1000  # a busy CPU for 10 s takes minutes
    weir, guest = started(bochs, [HUNGRY] if hungry else [], files=[BUILD / "tests/guests/fuzz.elf"])
    before, others = Counts(weir, "net0"), Counts(weir, "hungry") if hungry else None
    begun = weir.machine_time()
    weir.set("vtd0.delay.iotlb", late * MS)
    asked, looks = Asked(guest, 1), 0
    while True:
        counts = Counts(weir, "net0")  # printing this takes the serial line some 100 ms
        if counts.posted > before.posted and not counts.held:
            break
        looks += counts.held > 0
        weir.wait_until(lambda: weir.command("domains"), "the shell waits")
    assert weir.machine_time() - begun > late * MS, "the pages were free before the unit can have flushed"
    if hungry:
        weir.wait_until(lambda: Counts(weir, "hungry").completed > others.completed, "the other guest waits")
    weir.set("vtd0.delay.iotlb", 0)
    assert asked.result()["zeroed"]
    after = Counts(weir, "net0")
    slow = {us: n - before.answers.get(us, 0) for us, n in after.answers.items() if us >= 1000 * late}
    assert sum(slow.values()) >= 1, (before.answers, after.answers)
    assert looks or late < 1000, "nobody has seen the pages held"
    weir.count(r"iommu: fault", 0)


def test_the_unit_is_paused(bochs):
    """While the unit fetches no descriptor at all, releases pile up to the limit of batches and then the guest waits
    for its own, but the shell and the other guest do not; afterwards everything is released."""
    weir, guest = started(bochs, [HUNGRY], files=[BUILD / "tests/guests/fuzz.elf"])
    weir.set("vtd0.pause", 1)
    asked = Asked(guest, 2)
    weir.wait_until(lambda: Counts(weir, "net0").held, "nothing is released")
    others = Counts(weir, "hungry").completed
    weir.wait_until(lambda: Counts(weir, "hungry").completed > others + 10, "the other guest waits")
    counts = Counts(weir, "net0")
    assert counts.held and counts.in_flight, "pages came back although the unit has done nothing"
    weir.set("vtd0.pause", 0)
    weir.wait_until(lambda: not Counts(weir, "net0").held, "the pages are never free")
    assert asked.result()["zeroed"]


def test_two_units_out_of_step(bochs):
    """A domain has a device behind each of two units: pages are free only when both have answered, whichever is
    first; the other order would give a page away that one device can still reach."""
    nic = Net()
    weir = bochs([CONTROL, NET0.replace(NIC, f"{NIC},{EDU[1]}")], nics=[nic], knobs={"units": 2})
    weir.wait_for(r"net0\| net: serving http", 60)
    guest = Guest(weir, nic)
    for slow in (0, 1):
        weir.set(f"vtd{slow}.pause", 1)
        before = Counts(weir, "net0")
        asked = Asked(guest, 1)
        weir.wait_until(lambda posted=before.posted: Counts(weir, "net0").posted > posted, "nothing is released")
        fast = f"iommu unit {1 - slow}"
        weir.wait_until(lambda command=fast: idle(weir.command(command)), "the other unit does not answer")
        counts = Counts(weir, "net0")
        assert counts.held == PAGES and counts.completed == before.completed, \
            f"the pages were free before unit {slow} had flushed"
        weir.set(f"vtd{slow}.pause", 0)
        weir.wait_until(lambda: not Counts(weir, "net0").held, "the pages are never free")
        assert asked.result()["zeroed"]


def idle(lines):
    """What `iommu unit` prints: all that was posted is completed."""
    posted, completed = map(int, re.search(r"(\d+) requests posted, (\d+) completed", " ".join(lines)).groups())
    return posted == completed
