"""Tests that run on QEMU and on the other machine from the same source: their fixture `boot` has a parameter."""
import os

import pytest

ON_BOCHS = pytest.param("bochs", marks=[pytest.mark.bochs,
                                        pytest.mark.skipif(os.environ.get("BOCHS") == "none", reason="BOCHS=none")])
# Processors, memory and the shell behave alike; what needs QEMU's devices or options says nothing.
both_machines = pytest.mark.parametrize("boot", ["qemu", ON_BOCHS], indirect=True)


def with_bochs(names, qemu, bochs):
    """The same for a test with further parameters: the values for each of the machines."""
    rows = [("qemu", *(v if isinstance(v, tuple) else (v,))) for v in qemu]
    rows += [pytest.param("bochs", *(v if isinstance(v, tuple) else (v,)), marks=ON_BOCHS.marks) for v in bochs]
    return pytest.mark.parametrize(f"boot, {names}", rows, indirect=["boot"])
