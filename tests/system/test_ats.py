"""A device with its own TLB (PCIe ATS): before Weir reuses a page, the device must have dropped its translation."""
import contextlib
import hashlib
import json
import threading
import zlib

import pytest

import bystander
from device_tlb import PAGE, STAMP, Device
from mutant import plant
from test_network import MB, Guest, random_bytes
from vhost_user import WRITE, Refused
from weir import BUILD, AtsNic, Nic

CONTROL = "/boot/control.elf kernel name=control mem=16M control"
NET0 = "/boot/net.elf kernel name=net0 mem=64M pci=01:00.0,ats"
FUZZ = BUILD / "tests/guests/fuzz.elf"
RELEASED = 256  # pages of 1 MiB
OTHER = "400M"  # leaves little free memory on a machine with 512 MiB


def test_virtio_net_works_behind_a_root_port(boot, blob):
    """QEMU's own device, as with NIC=virtio-ats: traffic in both directions while memory is released; detached and
    attached again."""
    nic = AtsNic()
    weir = boot([CONTROL, NET0], smp=2, nics=[nic])
    weir.wait_ready()
    weir.wait_for(r"domain net0: device 01:00.0 \(1af4:1041\).*, ATS$")
    weir.wait_for(r"net0\| net: serving http", 40)
    guest = Guest(weir, nic)
    before = guest.stats()["hypervisor"]
    status, _, body = guest.request("GET", "/blob?mb=20&seed=77")
    assert status == 200 and hashlib.sha256(body).hexdigest() == blob(77, 20 * MB)
    data = random_bytes(20 * MB)
    assert json.loads(guest.request("POST", "/sink", data)[2]) == {"bytes": len(data), "crc32": zlib.crc32(data)}
    result = guest.json("/release?mb=8")
    assert result["error"] == 0 and result["zeroed"] and result["released_pages"] == 2048, result
    assert result["populated_pages"] == 2048, result
    after = guest.settled()
    assert after["device_tlb_invalidations"] > before["device_tlb_invalidations"], after
    assert after["invalidations_completed"] == after["invalidations_posted"] and after["io_faults"] == 0, after

    weir.command("detach 01:00.0")
    weir.wait_for(r"net0\| net: virtio-net at 00:01.0 is gone")
    weir.command("attach 01:00.0 net0 ats")
    weir.wait_for(r"domain net0: device 01:00.0 .*, ATS$")
    status, _, body = guest.request("GET", "/blob?mb=2&seed=78")
    assert status == 200 and hashlib.sha256(body).hexdigest() == blob(78, 2 * MB)
    assert guest.stats()["hypervisor"]["io_faults"] == 0


class Asked:
    """Makes a guest release the first MiBs of its spare memory; result() makes it populate them again."""

    def __init__(self, guest, mb):
        self.guest, self.mb, self.answer = guest, mb, {}
        self.asking = threading.Thread(target=self.ask, daemon=True)
        self.asking.start()

    def ask(self):
        try:
            self.answer.update(self.guest.json(f"/release?mb={self.mb}&hold=60000"))
        except (AssertionError, ValueError):
            pass  # result() reports it; or the test has failed already, and the machine is gone

    def still_out(self):
        """Checks that the pages stayed released during everything observed so far."""
        if not self.asking.is_alive():
            self.guest.weir.fail(f"{self.guest.name} has its pages back before the end of the test")

    def result(self):
        """Makes the guest populate the pages, and waits for that."""
        self.guest.json("/take")
        self.asking.join(30)
        if not self.answer or self.answer["error"] or self.answer["populated_pages"] != self.mb * MB // PAGE:
            self.guest.weir.fail(f"{self.guest.name}: /release was answered by {self.answer}")
        return self.answer


class Release(Asked):
    """The constructor returns when Weir reports that the pages are free."""

    def __init__(self, guest, mb):
        before = guest.stats()["hypervisor"]["pages_owned"]
        super().__init__(guest, mb)

        def is_free():
            now = guest.stats()["hypervisor"]
            settled = not now["pages_held"] and not now["batches_in_flight"]
            if now["pages_owned"] == before - mb * MB // PAGE and settled:
                return True
            if not self.asking.is_alive():
                guest.weir.fail(f"{guest.name}: the pages did not become free: {now}, {self.answer}")
            return False
        guest.weir.wait_until(is_free, f"{guest.name}: the pages did not become free")


class Ats:
    """The network guest, whose device is a `Device`; a bystander on the other CPU; optionally a second network guest,
    or `more` lines."""

    def __init__(self, boot, tmp_path, device, elf=None, other_mem=None, more=(), files=(), cmdline=""):
        self.device = device
        image = tmp_path / "bystander.bin"
        image.write_bytes(bystander.kernel())
        nic, other = AtsNic(backend=device.options()), Nic(slot=4)
        lines = [CONTROL, NET0 + " cpu=0", "/boot/bystander.bin kernel name=bystander mem=2M cpu=1", *more]
        if other_mem:
            lines.append(f"/boot/net.elf kernel name=net1 mem={other_mem} pci=00:04.0")
        self.weir = boot(lines, files=[image, *files], smp=2, nics=[nic, other], elf=elf, cmdline=cmdline)
        self.weir.wait_ready()
        self.weir.wait_for(r"net0\| net: serving http", 40)
        self.guest, self.other = Guest(self.weir, nic), Guest(self.weir, other, "net1")
        if other_mem:
            self.weir.wait_for(r"net1\| net: serving http", 40)
        self.spare = int(self.weir.wait_for(r"net0\| .*spare \d+ KiB at ([0-9a-f]+);").group(1), 16)

    def aim(self, pages, refetch=False):
        """Waits until the writer holds these pages of the guest's spare memory and has left its stamp in each. Returns
        their addresses in RAM."""
        self.device.aim([self.spare + PAGE * i for i in pages], refetch)
        frames = self.device.held()
        assert len(frames) == len(pages), frames
        self.device.wait_rounds(1)
        return frames

    def late_writes(self, frames, release=None):
        """Returns to how many of these addresses the device writes in its next rounds. The pages must stay released
        meanwhile."""
        before = self.device.wait_rounds(100)
        late = sum(self.device.stamp(offset) > before + 1 for offset in frames.values())
        if release:
            release.still_out()
        return late

    def check(self):
        self.device.check()
        assert not self.weir.find("error: ")


@pytest.fixture
def device():
    with contextlib.closing(Device()) as d:
        d.start()
        yield d


def check_released_pages_are_out_of_reach(ats):
    """A device writes all the time through every translation it holds: once Weir reports a page as free, no write
    reaches it."""
    frames = ats.aim(range(RELEASED))
    release = Release(ats.guest, 1)
    assert ats.late_writes(frames, release) == 0
    assert release.result()["zeroed"]
    assert sum(i.size for i in ats.device.invalidations) >= RELEASED * PAGE
    assert all(i.answered for i in ats.device.invalidations)
    ats.check()


def test_released_pages_are_out_of_reach(boot, tmp_path, device):
    check_released_pages_are_out_of_reach(Ats(boot, tmp_path, device))


def check_a_new_owner_is_left_alone(ats):
    """The pages are given to another domain while the device that had them continues to write."""
    frames = ats.aim(range(2 * MB // PAGE))
    other = Release(ats.other, 2)
    mine = Release(ats.guest, 2)
    # The most recently freed pages are allocated first. The new owner looks for anything but zeroes.
    result = other.result()
    half, ram = PAGE // 2, ats.device.memory.ram
    taken = {iova: at for iova, at in frames.items() if ram[at + half:at + PAGE] == bytes(half)}
    assert len(taken) == len(frames), "the other domain received different pages"
    assert result["nonzero_pages"] == 0
    assert ats.late_writes(taken, mine) == 0
    assert mine.result()["zeroed"]
    ats.check()


def test_a_new_owner_is_left_alone(boot, tmp_path, device):
    check_a_new_owner_is_left_alone(Ats(boot, tmp_path, device, other_mem=OTHER))


@pytest.fixture(scope="session")
def careless(tmp_path_factory):
    """An image of Weir that invalidates no device TLB."""
    return plant(tmp_path_factory.mktemp("careless"),
                 {"iommu/commit.c": ("\tif (!list_empty(&d->device_tlbs))\n"
                                     "\t\tdevice_flush_tlbs(d, b, first, last);\n", "")})


@pytest.mark.parametrize("check", [check_released_pages_are_out_of_reach, check_a_new_owner_is_left_alone])
def test_the_tests_detect_a_missing_flush(boot, tmp_path, device, careless, check):
    """The same tests fail if the device TLB is not invalidated, so they test the right thing."""
    ats = Ats(boot, tmp_path, device, elf=careless, other_mem=OTHER)
    with pytest.raises(AssertionError, match=r"assert [1-9]\d* == 0"):
        check(ats)
    assert not device.invalidations


@pytest.mark.parametrize("slow", [pytest.param(True, id="slow"), pytest.param(False, id="stuck")])
def test_a_slow_device_holds_up_only_its_pages(boot, tmp_path, device, slow):
    """Until the device has answered, no domain owns the pages: the device may still write there, and nobody else does.
    QEMU waits for the answer inside the write to the queue's tail, and everything that needs QEMU's devices (the
    console, timers) waits with it; a guest that needs none continues. `stuck`: the device does not answer until the
    test has observed enough."""
    ats = Ats(boot, tmp_path, device)
    for tries in range(1, 4):
        took, longest = hold_up(ats, slow)
        if longest < took / 2:
            break
        # If something waits for the device, it does so in each try; a delay by a busy host does not repeat.
        assert tries < 3, f"the bystander was stopped for {longest:.2f} s of {took:.2f} s"
    ats.check()


def hold_up(ats, slow):
    """Releases pages once that the device holds and does not drop for a while. Returns how long its answer took, and
    for how long at most the bystander was stopped."""
    device = ats.device
    frames = ats.aim(range(RELEASED))
    seen, first = [], len(device.invalidations)

    def before_answer(event):
        if not seen:
            before = device.wait_rounds(1)
            pages = [device.memory.ram[o:o + PAGE] for o in frames.values()]
            seen.append((sum(page[STAMP.size:] == b"\x5a" * (PAGE - STAMP.size) for page in pages),
                         sum(device.stamp(o) > before for o in frames.values())))
            assert event.answered is None
    device.released.clear()
    device.before_answer, device.delay = before_answer, 2 if slow else 3600
    with bystander.Watch(ats.weir, device.memory.ram) as watch:
        if not slow:
            threading.Timer(4, device.released.set).start()
        release = Release(ats.guest, 1)
    event = device.invalidations[first]
    took = event.answered - event.came
    print(f"the device answered after {took:.2f} s; the bystander counted {watch.rounds} rounds, and was stopped for "
          f"{watch.longest * 1000:.1f} ms at most")
    device.delay, device.before_answer = 0, None
    assert seen == [(RELEASED, RELEASED)], \
        "before the device had answered, the pages were reused, or it could not write to them"
    assert ats.late_writes(frames, release) == 0
    assert watch.rounds > 1000
    assert release.result()["zeroed"]
    return took, watch.longest


HUNGRY = "/boot/fuzz.elf kernel name=hungry mem=64M vcpus=2 -- only=memory"


def test_released_and_taken_without_pause(boot, tmp_path, device):
    """Four clients make the guest release and populate the same memory as fast as it can, while the device requests
    translations of it again and again and is slow to drop them; another guest does the same without a device. Weir must
    not run out of batches, lose a page, or make the others wait; and the device must not reach pages that have another
    owner."""
    ats = Ats(boot, tmp_path, device, more=[HUNGRY], files=[FUZZ])
    ats.aim(range(RELEASED), refetch=True)
    owned = ats.guest.settled()["pages_owned"]
    device.delay, done, wrong, stop = 0.02, [0] * 4, [], threading.Event()

    def ask(i):
        while not stop.is_set():
            answer = ats.guest.json("/release?mb=1")
            done[i] += 1
            if answer["error"] or answer["populated_pages"] != RELEASED:  # there may be stamps again
                wrong.append(answer)
    threads = [threading.Thread(target=ask, args=(i,), daemon=True) for i in range(len(done))]
    with bystander.Watch(ats.weir, device.memory.ram) as watch:
        for t in threads:
            t.start()
        ats.weir.wait_until(lambda: min(done) >= 3 and sum(done) >= 40, lambda: f"{done} releases", 120)
        stop.set()
        for t in threads:
            t.join(60)
    print(f"{sum(done)} releases, {len(device.invalidations)} invalidations; "
          f"the bystander counted {watch.rounds} rounds, and was stopped for {watch.longest * 1000:.1f} ms at most")
    assert min(done) >= 3 and not wrong, (done, wrong)
    assert len(device.invalidations) >= sum(done) and watch.rounds > 1000
    device.delay = 0
    frames = wait_held(ats.weir, device, device.targets)
    device.refetch = False  # or it may ask for the pages again, and write there before the guest has looked
    release = Release(ats.guest, 1)
    assert ats.late_writes(frames, release) == 0
    assert release.result()["zeroed"]
    after = ats.guest.settled()
    assert after["pages_owned"] == owned and after["devices_quarantined"] == 0, after
    assert after["batches_completed"] == after["batches_posted"], after
    device.check()
    ats.weir.count(r"error: ", 0)


def test_a_device_that_asks_for_more(boot, tmp_path, device):
    """The device requests translations again for each page that it had, and for the neighbours: it gets only the
    neighbours."""
    ats = Ats(boot, tmp_path, device)
    frames = ats.aim(range(0, 2 * RELEASED, 8), refetch=True)
    released = {iova: frames[iova] for iova in frames if iova < ats.spare + RELEASED * PAGE}
    neighbours = frames.keys() - released.keys()
    assert len(released) == len(neighbours) == RELEASED // 8
    for _ in range(2):
        release = Release(ats.guest, 1)
        refused = device.refused
        assert ats.late_writes(released, release) == 0
        wait_held(ats.weir, device, neighbours)
        held = device.held()
        release.still_out()
        assert not released.keys() & held.keys()
        assert device.refused > refused, "the device did not request the released pages"
        release.result()
        released = wait_held(ats.weir, device, list(released))
    ats.device.check()
    assert ats.guest.settled()["devices_quarantined"] == 0


def wait_held(weir, device, wanted):
    """Waits until the device holds these pages of the guest again. Returns their current addresses."""
    weir.wait_until(lambda: set(wanted) <= device.held().keys(), "translations of the guest's own pages are refused")
    held = device.held()
    return {iova: held[iova] for iova in wanted}


def test_a_liar_is_stopped_by_detaching_it(boot, tmp_path, device):
    """A device that falsely claims to have dropped its translations can still reach those pages (CAVEATS.md). Once it
    is detached, it gets no new translations."""
    device.liar = True
    ats = Ats(boot, tmp_path, device)
    frames = ats.aim(range(RELEASED))
    release = Release(ats.guest, 1)
    assert ats.late_writes(frames, release) == RELEASED
    release.result()
    device.targets = []
    device.tlb.flush()
    device.miss(ats.spare + 4 * MB, WRITE)
    assert ats.weir.command("detach 01:00.0")[-1] == "01:00.0: detached from net0, free"
    device.tlb.flush()
    with pytest.raises(Refused):
        device.miss(ats.spare + 4 * MB, WRITE)
    device.check()


def test_taken_away_and_given_back(boot, tmp_path, device):
    """A device is detached and attached again while it writes and requests translations: meanwhile it reaches nothing,
    and afterwards everything works as before."""
    ats = Ats(boot, tmp_path, device)
    frames = ats.aim(range(0, RELEASED, 8), refetch=True)
    for _ in range(3):
        assert ats.weir.command("detach 01:00.0")[-1] == "01:00.0: detached from net0, free"
        refused = device.refused
        assert ats.late_writes(frames) == 0 and not device.held()
        assert device.refused > refused, "the device made no request"
        ats.weir.command("attach 01:00.0 net0 ats")
        wait_held(ats.weir, device, frames)
        assert ats.guest.json("/release?mb=1")["populated_pages"] == RELEASED
    ats.check()


def test_a_device_that_asks_too_much_is_quarantined(boot, tmp_path, device):
    """Each refused translation is a fault. After too many of them the device also loses the translations that it
    holds."""
    ats = Ats(boot, tmp_path, device)
    frames = ats.aim(range(RELEASED))
    asked, begun = 0, ats.weir.time()
    while not ats.weir.find(r"01:00.0 of net0: floods Weir with faults: quarantined"):
        assert ats.weir.time() < begun + 60, f"{asked} refusals, but the device is not quarantined"
        for asked in range(asked + 1, asked + 101):
            with contextlib.suppress(Refused):
                device.miss(2**40 + PAGE * asked, WRITE)
    print(f"quarantined after {asked} refusals in {ats.weir.time() - begun:.2f} s")
    assert not device.held()
    assert ats.late_writes(frames) == 0
    with pytest.raises(Refused):
        device.miss(ats.spare, WRITE)
    assert ats.weir.command("detach 01:00.0")[-1] == "01:00.0: detached from net0, free"
    ats.weir.command("attach 01:00.0 net0 ats")
    assert ats.guest.json("/release?mb=1")["zeroed"]
    assert ats.guest.settled()["devices_quarantined"] == 1
    device.check()
