"""Pages that a guest gives back while its devices use them (tests/guests/test_remap.c), on kinds of units that QEMU
does not have: late ones, unfair ones, ones that do not snoop, that keep pointers to tables, superpages in parts, or
that something is not mapped. If a flush or a write-back were missing or of the wrong kind, a device would reach a page
that the guest has no more, or not one that it has."""
import pytest

from bochs import EDU
from weir import BUILD

LATE = {"vtd0.delay": 20_000, "vtd0.delay.random": 200_000, "vtd0.whims": 7}  # ns
# Words of the module line for the devices, and settings of the machine.
MACHINES = {
    "plain": ("", {}),
    "late": ("", LATE),
    "another-seed": ("", LATE | {"vtd0.whims": 11}),
    "unfair": ("", LATE | {"vtd0.unfair": 3, "vtd0.unfair.delay": 2_000_000}),
    "caching-mode": ("", LATE | {"vtd0.caching_mode": 1}),
    "coherent": ("", LATE | {"vtd0.coherent": 1, "vtd0.snoop_control": 1}),
    "small-mask": ("", LATE | {"vtd0.mask": 2}),
    "no-page-selective": ("", LATE | {"vtd0.page_selective": 0}),
    "no-superpages": ("", LATE | {"vtd0.superpages": 0}),
    "3-levels": ("", LATE | {"vtd0.levels": 3}),
    "5-levels": ("", LATE | {"vtd0.levels": 5, "vtd0.only_these_levels": 1}),
    "two-units": ("", LATE | {"units": 2, "vtd1.delay": 300_000, "vtd1.whims": 9}),
    "device-tlb": (",ats", LATE),
    "slow-device-tlb": (",ats", LATE | {"edu0.tlb": "slow", "edu0.tlb.delay": 5_000_000}),
}
LONG = {"another-seed", "plain"}


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.long if kind in LONG else ())
                                  for kind in MACHINES])
def test_pages_given_back(bochs, kind):
    """What is released is blocked once Weir says that it is free, and what is beside it, or comes in its place, is
    reached; the unit finds nothing that the specification forbids."""
    words, settings = MACHINES[kind]
    devices, group = (EDU[:1], "remap-ats") if words else (EDU[:2], "remap")
    weir = bochs([f"/boot/cpu.elf kernel name=e mem=64M pci={','.join(d + words for d in devices)} -- {group}"],
                 files=[BUILD / "tests/guests/cpu.elf"], smp=1, knobs=settings)
    weir.wait_for(r"e\| \d+ passed, \d+ failed", 120)
    weir.count(r"e\| FAIL", 0)
    weir.count(rf"e\| remap: {len(devices)} devices", 1)
    attempts, faults = map(int, weir.wait_for(r"e\| remap: (\d+) attempts, (\d+) faults").groups())
    # A translation that the unit refuses is no fault, but the device knows.
    blocked = sum(weir.number(f"edu{i}.blocked") for i in range(len(devices)))
    assert attempts > 0 and faults == (0 if words else blocked), (blocked, attempts, faults)
    # In caching mode, a device may use a page too early once it is mapped again: see CAVEATS.md.
    assert blocked >= attempts if "caching" in kind else blocked == attempts, (blocked, attempts)
