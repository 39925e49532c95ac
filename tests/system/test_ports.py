"""The ports of the host that are forwarded to machines."""
import itertools
import subprocess
import sys

import weir

CHOOSE = "import weir; print(weir.free_port(), flush=True); input()"


def test_two_runs_have_ports_of_their_own(monkeypatch):
    """If the tests of two clones choose the same port, QEMU does not start."""
    with subprocess.Popen([sys.executable, "-c", CHOOSE], cwd=weir.ROOT / "tests/system", stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as other:
        chosen = int(other.stdout.readline())
        monkeypatch.setattr(weir, "PORTS", itertools.cycle(range(chosen, chosen + 20)))
        ports = [weir.free_port() for _ in range(5)]
        other.communicate("\n")
    assert chosen not in ports and len(set(ports)) == 5, (chosen, ports)
