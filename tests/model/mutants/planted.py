"""Plants bugs into whole images (tests/system/images.py): the test that each one names must fail with it, and pass
without it. `run` calls this after the IOMMU core's bugs, one machine at a time."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/system"))
sys.dont_write_bytecode = True
from images import PLANTS  # noqa: E402
from mutant import plant  # noqa: E402


def run_test(test, image=None):
    """Runs one test, with this image in place of the built one. Returns "passed", "failed", or what else happened; and
    the reason in a line."""
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "WEIR_IMAGE")}
    if image:
        environment["WEIR_IMAGE"] = str(image)
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short",
                           f"tests/system/{test}"], cwd=ROOT, env=environment, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = done.stdout.splitlines() or ["(nothing)"]
    why = next((line for line in said if re.match(r"E  |FAILED ", line)), said[-1])
    # A test that cannot be set up or found shows nothing.
    counted = re.search(r"^\d+ (passed|failed)\b(?!.*error)", said[-1])
    return (counted[1] if counted else f"no result (status {done.returncode})"), re.sub(r"^E  +", "", why)[:100]


def try_plant(name, with_image):
    with tempfile.TemporaryDirectory() as tmp:
        try:
            image = plant(pathlib.Path(tmp), PLANTS[name].changes)
        except AssertionError as error:
            return "STALE", str(error).strip().splitlines()[0]
        result, why = with_image(PLANTS[name].test, image)
    return {"failed": "killed", "passed": "SURVIVED"}.get(result, "UNTRIED"), f"{PLANTS[name].test} ({why})"


def run(names):
    """Returns how many of these bugs are not detected."""
    sound, bad = {}, 0
    for name in names:
        test = PLANTS[name].test
        if test not in sound:
            sound[test] = run_test(test)
        result, why = sound[test]
        if result == "passed":
            verdict, by = try_plant(name, run_test)
        else:
            verdict, by = "UNTRIED", f"{test} does not pass without a planted bug: {result}: {why}"
        bad += verdict != "killed"
        print(f"{verdict:9} {name}: {PLANTS[name].what}\n          {by}", flush=True)
    print(f"{len(names) - bad} of {len(names)} planted images detected")
    return bad
