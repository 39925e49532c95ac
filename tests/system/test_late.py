"""A slow remapping unit: it takes posted descriptors seconds later (late-posts=), or its answers become visible seconds
later (late-answers=). QEMU's unit is never late, since it executes its queue inside the write that posts; so an image
with WEIR_DEBUG delays one or the other (iommu/late.c). If a page were reused meanwhile, the device would reach others'
data; if Weir waited in place, the machine would stop."""
import contextlib
import re
import time

import pytest

import bystander
from device_tlb import PAGE, STAMP, Device
from machine import Ram
from mutant import plant
from test_ats import Asked, Ats
from test_control import CONTROL
from test_network import MB, Guest
from weir import BUILD, DEBUG_ELF, Nic

FUZZ = BUILD / "tests/guests/fuzz.elf"
LATE = 4  # seconds
SURE = 0.9 * LATE  # until then the unit cannot have answered
PATTERN = 0x5A  # what a guest writes into pages before it releases them
NET0 = 2  # its domain id
FRAME_RAM = 3  # kernel/mm/frame.h
# Populates and releases memory all the time without a device, so its releases need no answer from a unit.
HUNGRY = "/boot/fuzz.elf kernel name=hungry mem=64M cpu=1 -- only=memory"
TRIES = 3


class Counts:
    """A domain's release counters, as the control domain sees them."""

    def __init__(self, weir, domain):
        line = next(line for line in weir.command(f"iommu stats {domain}") if "held for release" in line)
        self.held, _, self.posted, self.completed, self.under_way = map(int, re.findall(r"\d+", line))


class Round:
    """One release of a MiB by net0, observed while its unit cannot have answered: number of observations, how much the
    other guests progressed, and their longest delay. `stamped`: a device that holds the pages writes stamps at their
    beginnings."""

    def __init__(self, weir, guest, ram, stamped=None):
        self.weir, self.guest, self.ram, self.at = weir, guest, ram, STAMP.size if stamped else 0
        self.looks, self.hungry, self.longest_answer = 0, 0, 0.0
        # Pages released in an earlier round keep their content until they are allocated again.
        old = set() if stamped else set(ram.pages_of(PATTERN))
        posted, self.begun = Counts(weir, "net0").posted, time.monotonic()
        asked = Asked(guest, 1)
        weir.wait_until(lambda: Counts(weir, "net0").posted != posted, "nothing is released")
        frames = stamped() if stamped else [f for f in ram.pages_of(PATTERN) if f not in old]
        hungry = Counts(weir, "hungry").completed
        with bystander.Watch(weir, ram.ram) as watch:
            while self.look(frames):
                self.hungry = Counts(weir, "hungry").completed - hungry
        self.longest_gap = watch.longest
        weir.wait_until(lambda: not Counts(weir, "net0").held, "the released pages are never freed", 30 + LATE)
        if stamped:
            stamped(frames)
        assert asked.result()["zeroed"]
        print(f"{self.looks} observations, {self.hungry} releases of a guest without devices; the shell and HTTP took "
              f"{self.longest_answer * 1000:.0f} ms at most, "
              f"the bystander was stopped for {self.longest_gap * 1000:.0f} ms")

    def look(self, frames):
        """False if the observation was too late to be conclusive."""
        changed = sum(self.ram.ram[f + self.at:f + PAGE] != bytes([PATTERN]) * (PAGE - self.at) for f in frames)
        given_away = sum(self.ram.frame(f) != (FRAME_RAM, NET0) for f in frames)
        if time.monotonic() > self.begun + SURE:
            return False
        assert len(frames) == MB // PAGE and (changed, given_away) == (0, 0), \
            f"of {len(frames)} pages that the device may reach {given_away} were reused, {changed} changed"
        asked = self.weir.time()
        held = self.guest.stats()["hypervisor"]["pages_held"]
        told = Counts(self.weir, "net0").held
        self.longest_answer = max(self.longest_answer, self.weir.time() - asked)
        if time.monotonic() < self.begun + SURE:
            assert held == told == MB // PAGE
            self.looks += 1
        return True

    def nobody_waited(self):
        return self.looks > 1 and self.hungry > 0 and max(self.longest_gap, self.longest_answer) < LATE / 2


def rounds(*arguments):
    """If something waits for the unit, it does so in every round; a delay by a busy host does not repeat."""
    for _ in range(TRIES):
        if Round(*arguments).nobody_waited():
            return
    raise AssertionError(f"somebody waits for the unit, {TRIES} times")


def booted(boot, machine, tmp_path, elf):
    image = tmp_path / "bystander.bin"
    image.write_bytes(bystander.kernel())
    machine.elf, nic = elf, Nic()
    weir = boot([CONTROL, "/boot/net.elf kernel name=net0 mem=64M cpu=0 pci=00:03.0", HUNGRY,
                 "/boot/bystander.bin kernel name=bystander mem=2M cpu=1"],
                smp=2, nics=[nic], elf=elf, files=[FUZZ, image], qemu=machine.qemu,
                cmdline=f"late-answers={LATE}000")
    weir.wait_for(r"net0\| net: serving http", 40)
    return weir, Guest(weir, nic)


def test_answers_that_are_seen_late(boot, machine, tmp_path):
    """The unit has flushed, but Weir does not know yet: no domain owns the pages, and everything else continues, even
    while a device is being detached."""
    weir, guest = booted(boot, machine, tmp_path, DEBUG_ELF)
    rounds(weir, guest, machine)
    begun = time.monotonic()
    assert "still detaching" in weir.typed("detach 00:03.0\r\x03")[-1]
    answer = weir.command("attach 00:03.0 hungry")
    if time.monotonic() < begun + SURE:
        assert "it is detaching" in answer[-1], answer
    weir.wait_until(lambda: any(line.startswith("00:03.0") and "free" in line for line in weir.command("devices")),
                    "the device is not free", 30 + LATE)
    assert time.monotonic() > begun + SURE
    weir.count(r"iommu: fault", 0)


def test_without_waiting_it_is_seen(boot, machine, tmp_path, tmp_path_factory):
    """The same test fails with an image that releases pages without an answer, so it tests the right thing."""
    elf = plant(tmp_path_factory.mktemp("hasty"), {
        "iommu/commit.c": [("\t\t(void)atomic_add(&b->pending, 1);\n", ""),
                           ("\tdomain_count_completed(b->domain, r->nr);\n\tiommu_batch_answer(b);\n",
                            "\tdomain_count_completed(b->domain, r->nr);\n")],
    }, debug=True)
    weir, guest = booted(boot, machine, tmp_path, elf)
    with pytest.raises(AssertionError, match=r"of \d+ pages that the device may reach"):
        Round(weir, guest, machine)


def test_posts_that_are_taken_late(boot, tmp_path):
    """The unit has not even started to flush, and the device holds the pages in its TLB and writes to them. It reaches
    pages that no domain owns until its TLB is invalidated, and after that no page of another owner."""
    with contextlib.closing(Device()) as device:
        device.start()
        ats = Ats(boot, tmp_path, device, elf=DEBUG_ELF, more=[HUNGRY], files=[FUZZ], cmdline=f"late-posts={LATE}000")

        def stamped(frames=None):
            if frames is None:
                frames = list(device.held().values())
                before = device.wait_rounds(2)
                assert all(device.stamp(f) > before for f in frames), "the device does not reach them"
                return frames
            before = device.wait_rounds(100)
            assert not sum(device.stamp(f) > before + 1 for f in frames)
            return frames

        for _ in range(TRIES):
            ats.aim(range(256))
            count = len(device.invalidations)
            done = Round(ats.weir, ats.guest, Ram(device.memory.ram, DEBUG_ELF), stamped)
            assert device.invalidations[count].came > done.begun + SURE
            if done.nobody_waited():
                break
        else:
            raise AssertionError(f"somebody waits for the unit, {TRIES} times")
        ats.check()
