"""Fixtures of the system tests, and how a failure is reported."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from bochs import Bochs, BochsView
from machine import Machine
from weir import BUILD, ROOT, TAIL, Failure, Weir


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes; left to `make check-long`")
    config.addinivalue_line("markers", "quick: also in `make check-quick`: one boot of each kind")
    config.addinivalue_line("markers", "bochs: on Bochs; left out with BOCHS=none")


def pytest_collection_modifyitems(items):
    for item in items:
        if "bochs" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.bochs)
            if os.environ.get("BOCHS") == "none":
                item.add_marker(pytest.mark.skip(reason="BOCHS=none"))


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
    elif call.excinfo and hasattr(item, "funcargs"):
        for machine in (m for name in ("boot", "bochs") if name in item.funcargs for m in item.funcargs[name].machines):
            outcome.get_result().sections.append((f"{machine.directory}/serial.log, its end",
                                                  "\n".join(machine.lines[-TAIL:])))
            if said := machine.said():
                outcome.get_result().sections.append((f"{machine.directory}/{machine.program_log}", said))
    if call.when == "call" and not call.excinfo:
        item.passed = True


def machines(request, kind):
    """A function that starts machines of this kind, and after the test stops them."""
    directory = BUILD / "tests/system" / re.sub(r"[^\w.-]+", "_", request.node.name)
    shutil.rmtree(directory, ignore_errors=True)
    started = []
    # `make mutants` runs a test with an image that has a bug (images.py).
    image = {"elf": pathlib.Path(os.environ["WEIR_IMAGE"])} if "WEIR_IMAGE" in os.environ else {}

    def start(modules=(), **options):
        machine = kind(directory / str(len(started)) if started else directory, modules, **image | options)
        started.append(machine)
        return machine.__enter__()

    start.machines, start.kind = started, kind
    yield start
    try:
        for machine in started:
            if getattr(request.node, "passed", False):
                machine.check()
    finally:
        for machine in started:
            if machine.process:
                machine.__exit__()


@pytest.fixture
def boot(request):
    """boot(modules, ...) starts a machine (see weir.Weir) that is stopped after the test. Logs:
    build/tests/system/TEST/. The parameter is the other machine's name in tests of both (both.py)."""
    yield from machines(request, Bochs if getattr(request, "param", "qemu") == "bochs" else Weir)


@pytest.fixture
def bochs(request):
    """The same with the other machine (see bochs.Bochs). After the test its units must not have been misused."""
    yield from machines(request, Bochs)


@pytest.fixture
def machine(boot, tmp_path):
    """What `boot` boots, with 512 MiB; the test can access RAM and registers of it: boot(..., **machine.options())."""
    if boot.kind is Bochs:
        yield BochsView(512, lambda: boot.machines[-1])
        return
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
