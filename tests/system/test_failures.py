"""Failing allocations: an image with WEIR_DEBUG fails them on demand (fail-alloc=). The operation is refused with one
log line, or continues with less memory; everything else continues, and nothing leaks."""
import re
import time

import pytest

from test_control import CONTROL, NET0, Load, table
from weir import BUILD, DEBUG_ELF, IDLE, Nic

FUZZ = BUILD / "tests/guests/fuzz.elf"
DOMAINS = 40
FUNCTIONS = 8  # of a slot


def free_at_the_end(weir):
    assert weir.wait_exit(90) == IDLE
    return int(re.search(r"has ended, (\d+) pages are free", weir.find(r"the last domain has ended")[-1])[1])


def edus():
    """A programmable DMA engine for each domain: their addresses, and QEMU's options."""
    places = [(3 + n // FUNCTIONS, n % FUNCTIONS) for n in range(DOMAINS)]
    options = [o for slot, function in places
               for o in ("-device", f"edu,addr={slot:x}.{function}{'' if function else ',multifunction=on'}")]
    return [f"00:{slot:02x}.{function}" for slot, function in places], options


def built_and_ended(boot, cmdline, devices):
    """Builds many small domains that end by themselves. Returns the log, and the number of pages that are free at the
    end."""
    addresses, options = edus() if devices else ([], [])
    lines = [f"/boot/hello.elf kernel name=d{n} mem=8M vcpus=2 {f'pci={addresses[n - 1]}' if devices else ''}"
             for n in range(1, DOMAINS + 1)]
    weir = boot(lines, smp=1, mem="1G", elf=DEBUG_ELF, cmdline=f"exit=idle {cmdline}", qemu=options)
    return weir, free_at_the_end(weir)


@pytest.mark.parametrize("devices", [False, True], ids=["alone", "with a device"])
def test_each_allocation_of_a_build(boot, devices):
    """The n-th allocation of the n-th domain fails, for every n that occurs and some more. Everything allocated before
    must be freed; otherwise a page, a table, a reference or a device would belong to a domain that does not exist."""
    _, free = built_and_ended(boot, "loglevel=debug", devices)
    weir, free_after = built_and_ended(boot, "fail-alloc=builds loglevel=debug", devices)
    ended = [n for n in range(1, DOMAINS + 1) if weir.find(rf"\bd{n}\| hello: powering off")]
    refused = [n for n in range(1, DOMAINS + 1) if weir.find(rf"error: (module \d+: name=|domain )d{n}:")]
    # Each domain either starts or is refused; the last ones make fewer allocations than n.
    assert sorted(ended + refused) == list(range(1, DOMAINS + 1)), (ended, refused)
    assert len(refused) >= (10 if devices else 5) and DOMAINS in ended, (refused, ended)
    weir.count(r"error: ", len(refused))
    weir.count(r"iommu: fault|panic", 0)
    assert free_after == free, (free, free_after)


def test_memory_given_back_and_taken(boot):
    """Guests release and populate memory and continue when they are refused; one of them has a device."""

    def run(cmdline):
        lines = [f"/boot/fuzz.elf kernel name=f{i} mem=32M vcpus=2 {'' if i else 'pci=00:05.0'} "
                 "-- only=memory,shatter,dma steps=80" for i in range(3)]
        weir = boot(lines, smp=2, files=[FUZZ], elf=DEBUG_ELF, cmdline=f"exit=idle {cmdline}",
                    qemu=["-device", "edu,addr=5,dma_mask=0xffffffffffffffff"])
        free = free_at_the_end(weir)
        weir.count(r"powered off, status 0", 3)
        return free, len(weir.find(r"alloc: order \d+ fails"))

    free, _ = run("")
    for every in (2, 7, 40):
        free_after, failed = run(f"fail-alloc={every} loglevel=debug")
        assert failed > 10 and free_after == free, (every, failed, free_after, free)


def test_device_given_and_taken(boot):
    """Attaching may be refused, with a reason, and the device is then free as before; detaching never fails."""
    nic, refused, attached = Nic(), 0, 0
    weir = boot([CONTROL, NET0, "/boot/net.elf kernel name=net1 mem=48M"], elf=DEBUG_ELF, nics=[nic], smp=2,
                cmdline="fail-alloc=2")
    weir.wait_for(r"net0\| net: (serving http|no network device)")
    for _ in range(40):
        if weir.find(r"net0\| net: serving http"):
            break
        # There was no memory for the table that maps its registers. Once allocated, that table is kept.
        has_it = table(weir, "devices")["00:03.0"][5] == "attached"
        weir.command("detach 00:03.0" if has_it else "attach 00:03.0 net0")
        time.sleep(0.5)
    weir.wait_for(r"net0\| net: serving http", 10)
    with Load(weir, nic) as load:
        for i in range(24):
            state = table(weir, "devices")["00:03.0"][4:6]
            if state[1] == "attached":
                attached += 1
                if attached in (2, 6):
                    load.wait_for_more(weir)
                answer = weir.command("detach 00:03.0")
                assert answer[0].endswith("free"), answer
            else:
                assert state == ["-", "free"]
                answer = weir.command(f"attach 00:03.0 net{i // 2 % 2}")
                refused += "attached to" not in answer[-1]
    weir.count(r"panic|ended by Weir|iommu: fault", 0)
    assert refused and attached >= 4, (refused, attached)
    for name in ("net0", "net1"):
        assert weir.command(f"destroy {name}")[0].startswith(f"{name}: destroyed")
