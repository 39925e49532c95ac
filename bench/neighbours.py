#!/usr/bin/python3
"""How much two Linux guests on two CPUs slow each other down, compared with two processes of one native Linux.

Each does the same work alone on one CPU, and while the other does it too on the other CPU.
"""
import os
import pathlib
import statistics
import sys
import tempfile
import threading
import time

from machine import Guest, Native, Shell, initramfs

ROUNDS = int(os.environ.get("ROUNDS", "3"))

# Only instructions; memory; the kernel's page tables and scheduler.
WORK = {
    "a loop of the shell": "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done",
    "512 MB of zeros": "dd if=/dev/zero of=/dev/null bs=1M count=512 2>/dev/null",
    "100 processes": "i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i+1)); done",
}


def seconds(shell, work):
    began = time.monotonic()
    shell.run(work)
    return time.monotonic() - began


def together(shells, work):
    """The time of the first shell, in seconds; the second shell repeats the same work meanwhile."""
    done = threading.Event()

    def neighbour():
        while not done.is_set():
            shells[1].run(work)

    thread = threading.Thread(target=neighbour)
    thread.start()
    try:
        return seconds(shells[0], work)
    finally:
        done.set()
        thread.join()


def measure(machine):
    """For each work: seconds alone and with a neighbour; medians."""
    machine.go()
    machine.wait_ready()
    shells = [Shell(nic) for nic in machine.nics]
    if len(shells) == 1:
        shells.append(Shell(machine.nics[0]))
        for cpu, shell in enumerate(shells):
            shell.run(f"taskset -p {1 << cpu:x} $$")
    results = {}
    for name, work in WORK.items():
        for shell in shells:
            shell.run(work)  # done only once
        rounds = [(seconds(shells[0], work), together(shells, work)) for _ in range(ROUNDS)]
        results[name] = [statistics.median(r[i] for r in rounds) for i in (0, 1)]
    machine.no_trouble()
    return results


def main():
    with tempfile.TemporaryDirectory() as d:
        initrd, results = initramfs(d), []
        for kind in (Native, Guest):
            print(f"two CPUs: {kind.__name__} ...", file=sys.stderr)
            with kind(pathlib.Path(d) / kind.__name__, initrd, cpus=2) as machine:
                results.append(measure(machine))
    print(f"{'seconds, medians of ' + str(ROUNDS):24}{'native alone':>14}{'beside':>9}"
          f"{'guest alone':>14}{'beside':>9}{'slower':>9}")
    for name in WORK:
        (native, both), (guest, guests) = (r[name] for r in results)
        print(f"{name:24}{native:14.2f}{both:9.2f}{guest:14.2f}{guests:9.2f}{both / native:5.2f}{guests / guest:5.2f}")


if __name__ == "__main__":
    main()
