"""Guests that do what no sane guest does (tests/guests/fuzz), beside two bystanders: one counts its timer's ticks and
checks its registers and memory, one serves HTTP with its own NIC. Nothing that the fuzzing guests do may end Weir,
affect the bystanders, or fill the log.

`make soak T=60` continues for an hour with new seeds; `make soak SEED=N` repeats one of them.
"""
import http.client
import os
import random
import re
import threading
import time

import pytest

from patience import http_request
from test_network import Guest
from weir import BUILD, DEBUG_ELF, Nic

CPU, FUZZ = BUILD / "tests/guests/cpu.elf", BUILD / "tests/guests/fuzz.elf"
NET0 = "/boot/net.elf kernel name=net0 mem=64M prio=200 pci=00:03.0"
TICKS = "/boot/cpu.elf kernel name=by mem=32M prio=200 -- ticks"
CONTROL = "/boot/control.elf kernel name=control mem=16M prio=250 control"

# Per machine: the number of fuzzing guests, and how long they live at most.
GUESTS, SECONDS = 6, 20
# What Weir says of a guest without devices: its kernel, its start, its halt, its end, its memory. At each restart: why,
# and its kernel. It restarts a guest so many times in so many seconds (kernel/guest/domain/domain.h), and says when it
# stops.
LINES, LINES_A_RESTART, RESTARTS, RESTARTS_WINDOW_S = 6, 3, 5, 60  # with what a vCPU did that ended it by a fault
# What Weir lets a guest write to its console: so many lines at once, then so many a second
# (kernel/guest/devices/vuart.c).
BURST, LINES_A_SECOND = 1000, 50
# By the machine's clock. A service that hangs takes longer.
LONGEST_S = 20
SEEDS = [int(s) for s in os.environ.get("SEED", "1").split()]
SOAK_S = float(os.environ.get("SOAK", "0")) * 60


class Requests:
    """One HTTP request after another; each must be answered."""

    def __init__(self, weir, nic):
        self.weir, self.nic, self.answered, self.lost, self.longest, self.stop = weir, nic, 0, [], 0.0, False
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.stop:
            start = self.weir.time()
            try:
                body = http_request(self.weir, self.nic.tcp(80), "GET", "/blob?mb=1", seconds=LONGEST_S)[2]
                assert len(body) == 1 << 20
                self.answered += 1
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.lost.append(f"{type(error).__name__}: {error} after {self.weir.time() - start:.1f} s")
            self.longest = max(self.longest, self.weir.time() - start)
            time.sleep(0.05)  # let the others run, too

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        self.thread.join()


def fuzzers(seed, words="", count=GUESTS):
    """The first half lives long, the others do what may end them; every second one is restarted then."""
    return [f"/boot/fuzz.elf kernel name=f{i} mem=32M vcpus=2 restart={('never', 'fault')[i % 2]} "
            f"-- seed={seed * 100 + i} rare={4096 if 2 * i < count else 64} {words}" for i in range(count)]


def ticks(weir):
    """From the bystander's last line: ticks, the longest gap in seconds, what was wrong."""
    found = re.search(r"ticks (\d+), longest gap (\d+) us, wrong (\d+)",
                      (weir.find(r"by\| ticks") or ["ticks 0, longest gap 0 us, wrong 0"])[-1])
    return int(found[1]), int(found[2]) / 1e6, int(found[3])


def bystanders_live(weir, nic, requests):
    """Checks that both bystanders continue and found nothing wrong. Returns the longest gap."""
    before, answered = ticks(weir)[0], requests.answered
    weir.wait_until(lambda: ticks(weir)[0] != before and requests.answered != answered,
                    lambda: f"a bystander stands still: {ticks(weir)[0]} ticks, {requests.answered} requests",
                    LONGEST_S)
    _, longest, wrong = ticks(weir)
    assert not requests.lost, requests.lost
    assert not wrong and max(longest, requests.longest) < LONGEST_S, (wrong, longest, requests.longest)
    weir.count(r"panic|domain (by|net0|control): ended by Weir", 0)
    weir.count(r"iommu: fault: device 00:03", 0)
    return longest


def attack(boot, modules, seconds, smp=2, until=None, files=(), nics=(), **options):
    """Boots the modules beside the bystanders, and checks those after `seconds`, or when `until()` is true."""
    nic = Nic()
    weir = boot([CONTROL, TICKS, NET0, *modules], files=[CPU, FUZZ, *files], nics=[nic, *nics], smp=smp, mem="1G",
                **options)
    weir.wait_for(r"net0\| net: serving http")
    weir.wait_for(r"by\| ticks")
    with Requests(weir, nic) as requests:
        deadline = weir.time() + seconds
        while weir.time() < deadline and not (until and until(weir)):
            if weir.ended or weir.find(r"panic"):
                weir.fail(f"Weir has ended; QEMU's status is {weir.process.poll()}")
            time.sleep(0.2)
        longest = bystanders_live(weir, nic, requests)
    print(f"{requests.answered} requests, the longest {requests.longest:.2f} s; "
          f"longest gap between ticks {longest:.3f} s")
    # No memory of the guests is lost: all that is allocated belongs to a domain that exists.
    stats = Guest(weir, nic).settled()
    assert stats["io_faults"] == 0, stats
    return weir


def span(lines):
    """Seconds from the first of these lines of the log to the last, by Weir's clock."""
    stamps = [float(re.match(r"\[ *(\d+\.\d+)\]", line)[1]) for line in lines]
    return stamps[-1] - stamps[0]


def console_is_limited(weir, name):
    """Checks that Weir has let the guest write no more to its console than it may. Returns the lines."""
    own = weir.find(rf"^\[[ \d.]+\] {name}\| ")
    # The first stamp may be late by as long as its line waited for the UART: a second is more than that.
    assert 1 <= len(own) <= BURST + LINES_A_SECOND * (span(own) + 1), (len(own), span(own))
    told = weir.find(rf"^\[[ \d.]+\] warning: domain {name}: \d+ lines of its console were left out")
    # Those that are left out are counted in one line, which comes before as many as a second may have, or when the
    # domain stops.
    stops = len(weir.find(rf"domain {name}: .*, status "))
    assert len(told) <= max(0, 1 + stops + (len(own) - BURST) // LINES_A_SECOND), (len(told), len(own))
    return own


def weir_is_brief(weir, name, restarted):
    """Checks that Weir itself has said no more of the guest than how it started and ended. The guest's own lines are
    not counted here: if it gives back the memory that its flags are in, it reads ones, and prints each step it takes.
    """
    said = [line for line in weir.find(rf"^\[[ \d.]+\] (?!\w+\| ).*\b{name}:")
            if not re.search(rf"domain {name}: (\d+ )?lines of its console (were|are) left out", line)]
    restarts = len([line for line in said if line.endswith(": restarting")])
    assert restarts <= (RESTARTS * (1 + span(said) // RESTARTS_WINDOW_S) if restarted else 0), said
    assert 2 <= len(said) <= LINES + LINES_A_RESTART * restarts + (restarts >= RESTARTS), said


def fuzz(boot, seed, smp=2):
    def all_gone(weir):
        return len(weir.find(r"domain f\d+: its \d+ pages are free again")) == GUESTS

    weir = attack(boot, fuzzers(seed), SECONDS, smp, all_gone)
    for i in range(GUESTS):
        console_is_limited(weir, f"f{i}")
        weir_is_brief(weir, f"f{i}", restarted=bool(i % 2))
    steps = [max([int(s) for line in weir.find(rf"f{i}\| ") for s in re.findall(r"(\d+) steps", line)], default=0)
             for i in range(GUESTS)]
    print(f"seed {seed}: steps of vCPU 0, in thousands {[s / 1000 for s in steps]}")
    return weir


@pytest.mark.parametrize("seed, smp", [(SEEDS[0], 2), (SEEDS[0] + 1, 1)])
def test_random_guests(boot, seed, smp):
    fuzz(boot, seed, smp)


def greedy(words, count, pci=""):
    return [f"/boot/fuzz.elf kernel name=f{i} mem=64M vcpus=2 {pci if not i else ''} -- only={words} seed={i}"
            for i in range(count)]


def free_mib(weir):
    return int(re.search(r"(\d+) MiB free", weir.command("memory")[0])[1])


@pytest.mark.parametrize("late", [pytest.param(False, id="prompt"), pytest.param(True, id="late")])
def test_memory_given_back_and_taken(boot, late):
    """By eight vCPUs; one of their domains has a device that writes to this very memory. `late`: its unit answers
    after 50 ms, so that all batches and entries of the queue are in flight."""
    quiet = boot([CONTROL, TICKS, NET0], files=[CPU, FUZZ], nics=[Nic()], mem="1G")
    quiet.wait_for(r"net0\| net: serving http")
    free = free_mib(quiet)
    quiet.__exit__()
    options = {"elf": DEBUG_ELF, "cmdline": "late-answers=50"} if late else {}
    weir = attack(boot, greedy("memory,shatter,dma", 4, "pci=00:05.0"), SECONDS / 2,
                  qemu=["-device", "edu,addr=5,dma_mask=0xffffffffffffffff"], **options)
    weir.count(r"f\d: ended by Weir", 0)
    # After they have ended, as much is free as if they had never been started.
    for i in range(4):
        assert weir.command(f"destroy f{i}") == [f"f{i}: destroyed, 65536 KiB freed"]
        weir.count(rf"domain f{i}: its 16384 pages are free again", 1)
    assert abs(free_mib(weir) - free) <= 1


def test_log_is_not_filled(boot):
    def left_out(weir):
        return all(len(weir.find(rf"domain f{i}: \d+ lines of its console were left out")) > 1 for i in range(2))

    weir = attack(boot, greedy("log", 2), 6 * SECONDS, until=left_out)
    assert left_out(weir)
    for i in range(2):
        assert len(console_is_limited(weir, f"f{i}")) >= BURST
        weir_is_brief(weir, f"f{i}", restarted=False)


def test_bars_upon_each_other(boot):
    weir = attack(boot, greedy("bars", 1, "pci=00:04.0"), SECONDS / 4, qemu=["-device", "e1000e,addr=4,romfile="])
    assert 1 <= len(weir.find(r"domain f0: BAR")) < 10 * SECONDS
    weir.count(r"f0: ended by Weir", 0)


@pytest.mark.skipif(not SOAK_S, reason="make soak")
def test_soak(boot):
    """One machine after another: with the seeds that are given, or with new ones until the time is over."""
    end = time.monotonic() + SOAK_S
    for seed in SEEDS if "SEED" in os.environ else iter(lambda: random.randrange(1 << 40), None):
        if time.monotonic() > end:
            break
        print(f"seed {seed}", flush=True)
        fuzz(boot, seed, random.Random(seed).choice([1, 2, 4])).__exit__()
