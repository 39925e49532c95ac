#!/usr/bin/python3
"""Debian's Linux natively and as Weir's guest: instructions and time until its shell runs, TCP in each direction,
requests, and the exits for each.

QEMU runs first with -icount, where it counts the instructions that it executes, then without, to measure time, for
several rounds in turn. A ratio of instructions holds for any processor. A ratio of times includes the cost of an exit
in QEMU, which drops all its translations at each exit.
"""
import contextlib
import os
import pathlib
import socket
import statistics
import sys
import tempfile
import threading
import time

from machine import ECHO, HTTP, PATIENCE, Guest, Native, Shell, Unprotected, initramfs

ROUNDS = int(os.environ.get("ROUNDS", "3"))
MB = int(os.environ.get("MB", "20"))
REQUESTS = 300
KINDS = (Native, Unprotected, Guest)

# At 0.9 of the native throughput, the same CPU spends this factor more on each byte.
MORE_WORK = 1.11

# A row of the control domain's `exits` that is not an exit.
TAKEN = "interrupts taken"


@contextlib.contextmanager
def blob():
    """A port of this host where HTTP sends MB megabytes to each client."""
    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection = server.accept()[0]
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % (MB << 20) + bytes(MB << 20))
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def to_guest(_, shell, port):
    shell.run(f"wget -q -O /dev/null http://10.0.2.2:{port}/")
    return MB


def from_guest(machine, *_):
    with socket.create_connection(("127.0.0.1", machine.nics[0].tcp(HTTP)), timeout=PATIENCE) as s:
        s.sendall(b"GET /blob HTTP/1.0\r\n\r\n")
        got = sum(len(data) for data in iter(lambda: s.recv(1 << 18), b""))
    assert got > MB << 20, f"received only {got} bytes"
    return MB


def requests(machine, *_):
    with socket.create_connection(("127.0.0.1", machine.nics[0].tcp(ECHO)), timeout=PATIENCE) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for n in range(REQUESTS):
            s.sendall(bytes([n % 256]))
            assert s.recv(1) == bytes([n % 256])
    return REQUESTS


PHASES = {"MB to it": to_guest, "MB from it": from_guest, "requests": requests}


def packets(shell):
    return sum(map(int, shell.run("cat /sys/class/net/eth0/statistics/[rt]x_packets")))


def difference(before, after):
    return {what: after[what] - before.get(what, 0) for what in after}


def boot(machine):
    """Measures from the kernel's first instruction to the shell's first."""
    counted, began = machine.instructions(), time.monotonic()
    machine.go()
    machine.wait_for("init: shell", PATIENCE)
    return {"done": 1, "seconds": time.monotonic() - began, "instructions": machine.instructions() - counted}


def measure(machine, port):
    """Returns for each phase: amount of work, seconds, instructions, packets, exits."""
    results = {"boot": boot(machine)}
    machine.wait_ready(PATIENCE)
    results["boot"]["exits"] = machine.exits()
    shell = Shell(machine.nics[0])
    shell.run(f"dd if=/dev/zero of=/www/blob bs=1M count={MB}")
    for name, phase in PHASES.items():
        phase(machine, shell, port)  # done only once
        sent, left, counted, began = packets(shell), machine.exits(), machine.instructions(), time.monotonic()
        done = phase(machine, shell, port)
        seconds, counted = time.monotonic() - began, machine.instructions() - counted
        results[name] = {"done": done, "seconds": seconds, "instructions": counted,
                         "exits": difference(left, machine.exits()),
                         "packets": packets(shell) - sent}
    machine.no_trouble()
    return results


def print_row(name, values, target, at_most):
    native, unprotected, guest = values
    met = guest / native <= target if at_most else guest / native >= target
    print(f"{name:34}{native:10,.1f}{unprotected:13,.1f}{guest:10,.1f}{guest / native:8.2f}{guest / unprotected:8.2f}"
          f"   {'<=' if at_most else '>='} {target} {'met' if met else 'missed'}")


def print_exits(title, of):
    """Prints the exits in `of`, the results of one guest: all exits for the boot, otherwise exits per packet and per
    interrupt."""
    print(f"\n{title:34}{'boot':>10}" + "".join(f"{phase:>13}" for phase in PHASES))
    for reason in of["boot"]["exits"]:
        print(f"{reason:34}{of['boot']['exits'][reason]:10,}"
              + "".join(f"{of[p]['exits'].get(reason, 0) / of[p]['packets']:13.3f}" for p in PHASES))
    each = [sum(n for r, n in of[p]["exits"].items() if r != TAKEN) / of[p]["exits"][TAKEN] for p in PHASES]
    print(f"{'exits for each interrupt':44}" + "".join(f"{n:13.2f}" for n in each)
          + f"   <= 1.2 {'met' if max(each) <= 1.2 else 'missed'}")


def main():
    results = {}
    with tempfile.TemporaryDirectory() as d, blob() as port:
        initrd = initramfs(d)
        for n in range(ROUNDS + 1):
            for kind in KINDS:
                print(f"{f'round {n} of {ROUNDS}' if n else 'counted'}: {kind.__name__} ...", file=sys.stderr)
                with kind(pathlib.Path(d) / f"{n}{kind.__name__}", initrd, counted=n == 0) as machine:
                    results.setdefault((kind, n == 0), []).append(measure(machine, port))
    counted = [results[kind, True][0] for kind in KINDS]
    timed = [results[kind, False] for kind in KINDS]

    print(f"{'millions of instructions':34}{'native':>10}{'unprotected':>13}{'in Weir':>10}"
          f"{'ratio':>8}{'ratio':>8}   target")
    for name in ("boot", *PHASES):
        what = "boot, to the shell" if name == "boot" else f"{counted[0][name]['done']} {name}"
        print_row(what, [c[name]["instructions"] / 1e6 for c in counted], 1.5 if name == "boot" else MORE_WORK, True)
    print(f"\nwall-clock time, medians of {ROUNDS} round{'s' if ROUNDS > 1 else ''}")
    print_row("boot, seconds", [statistics.median(r["boot"]["seconds"] for r in t) for t in timed], 1.5, True)
    for name in PHASES:
        print_row(f"{name}, a second",
                  [statistics.median(r[name]["done"] / r[name]["seconds"] for r in t) for t in timed], 0.9, False)
    print_exits("exits per packet, counted", counted[2])
    print_exits("exits per packet, wall-clock", timed[2][-1])


if __name__ == "__main__":
    main()
