"""What it buys that nobody waits for the remapping unit: a guest gives pages back and takes them again, with units that
take their time, and others use the same CPU and another one meanwhile (tests/guests/test_deferral.c). Beside it the
same with an image, built for this comparison only, whose commit waits in place: it polls until the unit has answered,
as hypervisors and kernels do otherwise.

The machine is Bochs: its unit answers when it is told to (tests/bochs), and its time is counted in instructions. So
the table is the same in each run. DELAYS=NS,NS: only these; JOBS=N: so many machines at once."""
import concurrent.futures
import os
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/system"))
from bochs import EDU, PEERS, Bochs  # noqa: E402
from mutant import plant  # noqa: E402
from weir import BUILD, IDLE  # noqa: E402

CPU = BUILD / "tests/guests/cpu.elf"
PATIENCE = 600
SECONDS = 2  # LENGTH_MS
JOBS = int(os.environ.get("JOBS", os.cpu_count()))

US, MS = 1_000, 1_000_000
DELAYS = [int(ns) for ns in os.environ.get("DELAYS", f"0,{10 * US},{MS},{100 * MS}").split(",")]
# Each with its own TLB (ATS), which is one more request for each commit.
DEVICES = {1: EDU[:1], 4: (*EDU, *PEERS)}

# No image that is shipped contains this. The commit polls the status word, without a lock, until the units have done
# all that is posted. The completion interrupt comes as well, and finds nothing to do.
IN_PLACE = {"iommu/commit.c": [
    ("void iommu_gather_commit(",
     """static void wait_in_place(const struct iommu_domain *d)
{
	for (u32 i = 0; i < iommu_nr_units; i++) {
		if (!d->devices_on[i])
			continue;
		while (!queue_is_done(&iommu_units[i].queue, iommu_units[i].queue.sequence))
			cpu_relax();
		queue_finish_done(&iommu_units[i]);
	}
}

void iommu_gather_commit("""),
    ("	iommu_batch_answer(b);\n}\n\n/* --- answers",
     """	if (b->changed)
		wait_in_place(d);
	iommu_batch_answer(b);
}

/* --- answers""")]}

# Who runs where: CPU 0 has the guest with the devices, one that computes, and one of a higher priority that takes the
# ticks of its timer; CPU 1 has another one that computes.
GUESTS = ["/boot/cpu.elf kernel name=beside mem=16M cpu=0 -- deferral-compute",
          "/boot/cpu.elf kernel name=ticks mem=16M cpu=0 prio=200 -- deferral-ticks",
          "/boot/cpu.elf kernel name=other mem=16M cpu=1 -- deferral-compute"]


def giver(number):
    devices = ",".join(f"{device},ats" for device in DEVICES[number])
    return f"/boot/cpu.elf kernel name=giver mem=64M cpu=0 pci={devices} -- deferral-give"


def numbers(weir, pattern):
    """The numbers of the only line that matches."""
    return [int(n) for n in re.search(pattern, weir.count(pattern, 1)[0]).groups()]


def run(directory, modules, delay=0, elf=None):
    """What the guests say: {name: numbers}."""
    knobs = {"vtd0.delay.iotlb": delay, "vtd0.delay.device": delay, "vtd0.whims": 0}
    with Bochs(directory, modules, cmdline="exit=idle", files=[CPU], smp=2, mem="256M", edu=4, knobs=knobs,
               elf=elf) as weir:
        if weir.wait_exit(PATIENCE) != IDLE:
            weir.fail("Weir did not end")
        weir.count(r"FAIL|iommu: fault|quarantine", 0)
        found = {name: numbers(weir, name + r"\| deferral: computed (\d+) rounds")[0] // SECONDS
                 for name in ("beside", "other")}
        found["late"] = numbers(weir, r"ticks\| deferral: took (\d+) ticks, at most (\d+) us late")[1]
        if any("name=giver" in module for module in modules):
            for what in ("released", "populated"):
                found[what], found[f"{what} us"] = numbers(weir, rf"giver\| deferral: {what} (\d+), (\d+) us each")
                found[what] /= SECONDS
    return found


def in_words(ns):
    return "at once" if not ns else f"{ns // MS} ms" if ns >= MS else f"{ns // US} us"


def rows():
    """Devices, delay in ns, whether the commit waits in place."""
    return [(devices, delay, in_place) for devices in DEVICES for delay in DELAYS for in_place in (False, True)]


HEAD = """\
                      rounds a second on    ticks late         times a second   us of a call
answers   commit      the CPU    another       (us)      releases   populates   release  populate"""


def show(when, commit, found):
    calls = ("" if "released" not in found else
             f"{found['released']:>14,.1f}{found['populated']:>12,.1f}{found['released us']:>10,}"
             f"{found['populated us']:>10,}")
    print(f"{when:10}{commit:9}{found['beside']:>10,}{found['other']:>11,}{found['late']:>11,}{calls}", flush=True)


def main():
    if os.environ.get("BOCHS") == "none":
        print("BOCHS=none: what deferral buys is left out")
        return
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        directory = pathlib.Path(name)
        (directory / "tree").mkdir()
        waits = plant(directory / "tree", IN_PLACE)
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            alone = pool.submit(run, directory / "alone", GUESTS)
            ran = [(row, pool.submit(run, directory / f"{row[0]}-{row[1]}-{row[2]}", [giver(row[0]), *GUESTS], row[1],
                                     waits if row[2] else None)) for row in rows()]
            print(HEAD)
            show("", "no giver", alone.result())
            for (devices, delay, in_place), found in ran:
                if not delay and not in_place:
                    print(f"{devices} device{'s' if devices > 1 else ''}")
                show(in_words(delay), "waits" if in_place else "defers", found.result())


main()
