"""A large domain is built beside a guest that never sleeps (tests/guests/test_watch.c). All is counted in instructions,
so the host's speed does not matter."""
import pytest

from test_attacks import watched
from weir import BUILD, IDLE

CPU = BUILD / "tests/guests/cpu.elf"
BYSTANDER = "/boot/cpu.elf kernel name=by mem=16M cpu=0 prio=200 -- watch-now"


def begin(boot, smp, gib):
    return boot([BYSTANDER, f"/boot/hello.elf kernel name=large mem={gib}G"], files=[CPU], smp=smp, mem=f"{gib + 1}G",
                counted=0, cmdline="exit=idle loglevel=debug")


def undisturbed(weir, smp):
    """With one CPU, nobody is idle, and memory is cleared between the bystander's instructions, 1 MiB in 2 ms: it keeps
    nine of ten. With two, the other one does it all. The bystander's CPU takes its own timers and a look at the others
    now and then, at most one a millisecond. Shares say nothing then: QEMU counts the instructions of both CPUs, and
    gives the two what it likes."""
    lines = watched(weir)
    print(f"rounds, own instructions of 1000, interrupts: {lines}")
    if smp == 1:
        assert min(line[1] for line in lines) >= 900
    assert max(line[2] for line in lines) <= 200
    seen = [next((n for n, line in enumerate(weir.lines) if text in line), len(weir.lines))
            for text in ("by| watch: ends", "domain large: starts with")]
    assert seen[0] < seen[1], "the large domain was built before the bystander ended"


def test_a_large_domain_is_being_built(boot):
    weir = begin(boot, 1, 4)
    weir.wait_for(r"by\| watch: ends", 120)
    undisturbed(weir, 1)


@pytest.mark.long
@pytest.mark.parametrize("smp", [1, 2])
def test_a_large_domain_is_built(boot, smp):
    weir = begin(boot, smp, 16)
    assert weir.wait_exit(1800) == IDLE
    undisturbed(weir, smp)
    weir.count(r"domain large: starts with 16384M of memory", 1)
    if smp == 2:
        weir.count(r"domains: built in \d+ steps, [0-2] of them by CPUs that were not idle", 1)
