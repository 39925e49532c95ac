"""The control domain: its shell on the serial console, and what it does to others."""
import re

import pytest

from weir import Nic, Weir

CONTROL = "/boot/control.elf kernel name=control mem=16M control"


def table(weir, command):
    """The rows of a table that a command prints, by their first word; each a list of words."""
    return {words[0]: words for words in (line.split() for line in weir.command(command)[1:])}


def test_shell(boot):
    nic = Nic()
    weir = boot(["/boot/net.elf kernel name=net0 mem=64M pci=00:03.0", CONTROL], nics=[nic], smp=2)
    weir.wait_for(r"net0\| net: serving http")
    # The control domain is built first, wherever its line stands.
    assert table(weir, "domains")["1"][1:6] == ["control", "running", "1", "16384", "16384"]
    assert table(weir, "domains")["2"][1:7] == ["net0", "running", "1", "65536", "65536", "1"]
    devices = table(weir, "devices")
    assert devices["00:03.0"][1:6] == ["8086:10d3", "0200", "network", "net0", "attached"]
    assert devices["00:1f.2"][1:6] == ["8086:2922", "0106", "storage", "-", "free"]
    assert "bridge, which stays with Weir" in " ".join(devices["00:00.0"])
    assert "32 of 2M" in weir.command("iommu stats net0")[0] and "32 of 2M" in weir.command("iommu stats 2")[0]


def test_line_editing(boot):
    weir = boot([CONTROL])
    typed = weir.typed
    assert typed("domq\bains\r")[0] == "weir> domains"
    assert typed("domq\x7fains\r")[1].split()[:2] == ["id", "name"]
    assert typed("nonsense\x15domains\r")[0].rstrip() == "weir> domains"
    assert typed("nonsense\x03") == ["weir> nonsense^C"]
    assert typed("\x1b[A\x1b[5~domains\r\n")[0] == "weir> domains"
    assert typed("\r") == ["weir> "]
    # More than a line holds, and as fast as a terminal pastes it.
    long = typed("x" * 500 + "\r")
    assert re.fullmatch(r"weir> x{100,200}", long[0]) and "no such command" in long[1], long


@pytest.mark.parametrize("command, word, remedy", [
    ("nothing", "nothing", "help lists them"),
    ("iommu nothing", "iommu nothing", "help lists them"),
    ("iommu stats a b", "b", "one word too many"),
    ("iommu stats nobody", "nobody", "domains lists them"),
    ("iommu stats 9", "9", "domains lists them"),
])
def test_mistakes(shell, command, word, remedy):
    answer = shell.command(command)
    assert len(answer) == 1 and f'"{word}"' in answer[0] and remedy in answer[0], answer


def test_missing_word(shell):
    assert shell.command("iommu stats") == ["iommu stats: something is missing; write: iommu stats DOMAIN"]


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    with Weir(tmp_path_factory.mktemp("shell"), [CONTROL]) as weir:
        yield weir


def test_the_word_is_the_privilege(boot):
    weir = boot([CONTROL, "/boot/control.elf kernel name=other mem=16M control",
                 "/boot/control.elf kernel name=third mem=16M"], cmdline="exit=idle")
    weir.wait_for(r"error: module 1: control: domain control is the control domain already: take the word away")
    # Without the word, the same program is refused what it asks.
    weir.wait_for(r"third\| fatal: this domain may not control others \(error 1\)")
    assert [words[1] for words in table(weir, "domains").values()] == ["control"]
