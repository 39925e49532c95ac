"""A large domain is built beside a guest that never sleeps (tests/guests/test_watch.c). All is counted in instructions,
so the host's speed does not matter."""
import pytest

from test_attacks import watched
from weir import BUILD, IDLE

CPU = BUILD / "tests/guests/cpu.elf"
BYSTANDER = "/boot/cpu.elf kernel name=by mem=16M cpu=0 prio=200 -- watch-now"


def begin(boot, smp, gib):
    return boot([BYSTANDER, f"/boot/hello.elf kernel name=large mem={gib}G"], files=[CPU], smp=smp, mem=f"{gib + 1}G",
                counted=0, cmdline="exit=idle")


def undisturbed(weir, smp):
    """The bystander keeps nine of ten instructions; beside an idle neighbour it has nearly all. With one CPU, nobody is
    idle, and memory is cleared between its instructions, 1 MiB in 2 ms. With two, the other one clears it, and what
    QEMU counts is the sum: half of it is the bystander's CPU's."""
    shares = [line[1] for line in watched(weir)]
    print(f"own instructions, of 1000: {shares}")
    assert min(shares) >= 900 // smp
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
