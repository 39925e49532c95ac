#!/usr/bin/python3
"""The network guest on QEMU's own machine and as Weir's guest: throughput in each direction, requests per second, exits
per request.

Both run on the same QEMU one after the other, several rounds in turn. Only the ratio is meaningful: the times are those
of an emulator on a busy machine.
"""
import http.client
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/system"))
from weir import GUESTS, Nic, Weir  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "3"))
MB = int(os.environ.get("MB", "20"))
REQUESTS = 200


class Native:
    """The guest's ELF file, started directly by QEMU on the same machine."""

    def __init__(self, nic):
        self.nic = nic

    def __enter__(self):
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-M", "q35", "-accel", "tcg,thread=multi",
             "-cpu", "EPYC-v4,+svm,+npt,+vgif,+x2apic", "-m", "256M", "-display", "none", "-no-reboot",
             "-serial", "null",
             "-kernel", str(GUESTS / "net.elf"), *self.nic.options()],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def connect(port, timeout=60):
    """A connection on which the guest has answered once."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/stats.json")
            return json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def request(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request(method, path, body)
    data = connection.getresponse().read()
    connection.close()
    return data


def measure(port):
    """MB/s from the guest and to it, requests per second; and the changes of the counters meanwhile."""
    connect(port)
    begin = time.monotonic()
    assert len(request(port, "GET", f"/blob?mb={MB}")) == MB << 20
    down = time.monotonic()
    request(port, "POST", "/sink", bytes(MB << 20))
    up = time.monotonic()
    before = json.loads(request(port, "GET", "/stats.json"))
    started = time.monotonic()
    for _ in range(REQUESTS):
        request(port, "GET", "/stats.json")
    ended = time.monotonic()
    after = json.loads(request(port, "GET", "/stats.json"))
    return {"MB/s from the guest": MB / (down - begin), "MB/s to the guest": MB / (up - down),
            "requests/s": REQUESTS / (ended - started)}, before, after


def exits_per_request(before, after):
    a, b = (s.get("hypervisor") or {} for s in (before, after))
    if "exits" not in a:
        return []
    return [(reason, (b["exits"][reason] - a["exits"][reason]) / REQUESTS) for reason in a["exits"]]


def main():
    results = {"native": [], "weir": []}
    exits = []
    for n in range(ROUNDS):
        print(f"round {n + 1} of {ROUNDS} ...", file=sys.stderr)
        nic = Nic()
        with Native(nic):
            results["native"].append(measure(nic.tcp())[0])
        nic = Nic()
        with tempfile.TemporaryDirectory() as d, \
                Weir(d, ["/boot/net.elf kernel name=net0 mem=256M pci=00:03.0"], nics=[nic], mem="1G") as w:
            w.wait_ready()
            figures, before, after = measure(nic.tcp())
            results["weir"].append(figures)
            exits = exits_per_request(before, after)
    print(f"{'network guest':24}{'native':>10}{'in Weir':>10}{'ratio':>8}   (medians of {ROUNDS} rounds)")
    for what in results["native"][0]:
        native, weir = (statistics.median(r[what] for r in results[side]) for side in ("native", "weir"))
        print(f"{what:24}{native:10.1f}{weir:10.1f}{weir / native:8.2f}")
    for reason, n in exits:
        if n >= 0.005:
            print(f"exits/request: {reason:20}{n:9.2f}")


if __name__ == "__main__":
    main()
