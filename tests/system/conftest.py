"""Fixtures of the system tests, and how a failure is reported."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from machine import Machine
from weir import BUILD, ROOT, TAIL, Failure, Weir


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes; left to `make check-long`")
    config.addinivalue_line("markers", "quick: also in `make check-quick`: one boot of each kind")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    # The end of the log says more than where in the framework the test failed.
    if call.excinfo and call.excinfo.errisinstance(Failure):
        report = outcome.get_result()
        frame = next((f for f in reversed(call.excinfo.traceback) if pathlib.Path(f.path).name.startswith("test_")),
                     None)
        where = f"{pathlib.Path(frame.path).name}:{frame.lineno + 1}: {frame.statement}\n" if frame else ""
        report.longrepr = f"{where}{call.excinfo.value}"
    elif call.excinfo and hasattr(item, "funcargs") and "boot" in item.funcargs:
        for machine in item.funcargs["boot"].machines:
            outcome.get_result().sections.append((f"{machine.directory}/serial.log, its end",
                                                  "\n".join(machine.lines[-TAIL:])))
            if said := machine.said():
                outcome.get_result().sections.append((f"{machine.directory}/qemu.log", said))


@pytest.fixture
def boot(request):
    """boot(modules, ...) starts a machine (see weir.Weir) that is stopped after the test. Logs:
    build/tests/system/TEST/."""
    directory = BUILD / "tests/system" / re.sub(r"[^\w.-]+", "_", request.node.name)
    shutil.rmtree(directory, ignore_errors=True)
    machines = []

    def start(modules=(), **options):
        machine = Weir(directory / str(len(machines)) if machines else directory, modules, **options)
        machines.append(machine)
        return machine.__enter__()

    start.machines = machines
    yield start
    for machine in machines:
        if machine.process:
            machine.__exit__()


@pytest.fixture
def machine(tmp_path):
    """A machine with 512 MiB whose RAM and monitor the test can access: boot(..., qemu=[..., *machine.options])."""
    m = Machine(tmp_path, 512)
    yield m
    m.close()


@pytest.fixture(scope="session")
def blob():
    """blob(seed, size): the SHA-256 of what GET /blob should send."""
    program = BUILD / f"tests/system/blob{os.environ.get('PYTEST_XDIST_WORKER', '')}"
    program.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([os.environ.get("HOSTCC", "gcc"), "-O2", "-Wall", "-o", program, ROOT / "tests/system/blob.c"],
                   check=True)
    return lambda seed, size: hashlib.sha256(
        subprocess.run([program, str(seed), str(size)], stdout=subprocess.PIPE, check=True).stdout).hexdigest()
