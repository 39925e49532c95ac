"""The control domain: its shell on the serial console, and how it controls other domains."""
import http.client
import re
import threading
import time

import pytest

from patience import http_request
from test_network import Guest, MB
from weir import LOGGED, Nic, Weir

CONTROL = "/boot/control.elf kernel name=control mem=16M control"
NET0 = "/boot/net.elf kernel name=net0 mem=64M pci=00:03.0"


def table(weir, command):
    """The rows of a table that a command prints: {first word: list of words}."""
    return {words[0]: words for words in (line.split() for line in weir.command(command)[1:])}


@pytest.mark.quick
def test_the_shell_answers(boot):
    nic = Nic()
    weir = boot([NET0, CONTROL], nics=[nic], smp=2)
    weir.wait_for(r"net0\| net: serving http")
    # The control domain is built first, wherever its module line is.
    assert table(weir, "domains")["1"][1:6] == ["control", "running", "1", "16384", "16384"]
    assert table(weir, "domains")["2"][1:7] == ["net0", "running", "1", "65536", "65536", "1"]
    devices = table(weir, "devices")
    assert devices["00:03.0"][1:6] == ["8086:10d3", "0200", "network", "net0", "attached"]
    assert devices["00:1f.2"][1:6] == ["8086:2922", "0106", "storage", "-", "free"]
    assert "bridge, which stays with Weir" in " ".join(devices["00:00.0"])
    exits = {name: int(n) for name, n in (line.rsplit(None, 1) for line in weir.command("exits net0"))}
    # Each interrupt cost an EOI, and the guest sleeps in between.
    assert 0 < exits["  interrupts taken"] <= exits["  MSR: EOI"] + 1 and exits["  HLT"], exits
    assert "32 of 2M" in weir.command("iommu stats net0")[0] and "32 of 2M" in weir.command("iommu stats 2")[0]


def test_lines_can_be_edited(boot):
    weir = boot([CONTROL])
    typed = weir.typed
    assert typed("domq\bains\r")[0] == "weir> domains"
    assert typed("domq\x7fains\r")[1].split()[:2] == ["id", "name"]
    assert typed("nonsense\x15domains\r")[0].rstrip() == "weir> domains"
    assert typed("nonsense\x03") == ["weir> nonsense^C"]
    assert typed("\x1b[A\x1b[5~domains\r\n")[0] == "weir> domains"
    assert typed("\r") == ["weir> "]
    # More than fits into a line, at the speed of a paste.
    long = typed("x" * 500 + "\r")
    assert re.fullmatch(r"weir> x{100,200}", long[0]) and "no such command" in long[1], long


@pytest.mark.parametrize("command, word, remedy", [
    ("nothing", "nothing", "type help"),
    ("iommu nothing", "iommu nothing", "type help"),
    ("iommu stats a b", "b", "too many arguments"),
    ("iommu stats nobody", "nobody", "type domains"),
    ("iommu stats 9", "9", "type domains"),
])
def test_mistakes_are_explained(shell, command, word, remedy):
    answer = shell.command(command)
    assert len(answer) == 1 and f'"{word}"' in answer[0] and remedy in answer[0], answer


def test_a_missing_word_is_named(shell):
    assert shell.command("iommu stats") == ["iommu stats: missing argument; usage: iommu stats DOMAIN"]


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    with Weir(tmp_path_factory.mktemp("shell"), [CONTROL, NET0], nics=[Nic()]) as weir:
        weir.wait_for(r"net0\| net: serving http")
        yield weir


def test_the_log_is_shown_again_from_memory(boot):
    weir = boot([CONTROL])
    weir.wait_ready()
    weir.command("domains")
    logged = [line for line in weir.lines if LOGGED.match(line)]
    assert "Weir starts" in logged[0]

    def shown(command):
        since = len(weir.lines)
        weir.command(command)
        return [line for line in weir.lines[since:] if LOGGED.match(line)]

    assert shown("log") == logged
    assert shown("log 3") == logged[-3:]
    assert shown("log 1000") == logged
    assert shown("log 0") == []


def test_the_word_is_the_privilege(boot):
    weir = boot([CONTROL, "/boot/control.elf kernel name=other mem=16M control",
                 "/boot/control.elf kernel name=third mem=16M"], cmdline="exit=idle")
    weir.wait_for(r"error: module 1: control: domain control is the control domain already; remove the word")
    # Without the word `control`, the same program is refused.
    weir.wait_for(r"third\| fatal: this is not the control domain \(error 1\)")
    assert [words[1] for words in table(weir, "domains").values()] == ["control"]


class Load:
    """Sends HTTP requests without pause; a failed one does not matter."""

    def __init__(self, weir, nic):
        self.weir, self.nic, self.answered, self.stop = weir, nic, 0, False
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(4)]

    def run(self):
        while not self.stop:
            try:
                body = http_request(self.weir, self.nic.tcp(80), "GET", "/blob?mb=2", seconds=2)[2]
                self.answered += len(body) == 2 * MB
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        for thread in self.threads:
            thread.join()

    def wait_for_more(self, weir, timeout=60):
        """Waits until some more requests have been answered."""
        wanted = self.answered + 3
        weir.wait_until(lambda: self.answered >= wanted, "the requests are not answered", timeout)


@pytest.mark.parametrize("smp", [1, 2])
def test_detached_under_load_and_attached_again(boot, smp):
    nic = Nic()
    weir = boot([CONTROL, NET0], nics=[nic], smp=smp)
    weir.wait_for(r"net0\| net: serving http")
    net0 = Guest(weir, nic)
    with Load(weir, nic) as load:
        for _ in range(3):
            load.wait_for_more(weir)
            assert weir.command("detach 00:03.0") == ["00:03.0: detached from net0, free"]
            row = table(weir, "devices")["00:03.0"]
            assert row[4:6] == ["-", "free"], row
            assert table(weir, "domains")["2"][6] == "0"
            assert weir.command("attach 00:03.0 net0") == ["00:03.0: attached to net0"]
            load.wait_for_more(weir)
    # There was no forbidden access, and all memory released meanwhile is free again.
    stats = net0.settled()
    assert stats["io_faults"] == 0 and stats["pages_owned"] == 64 * MB // 4096, stats
    assert not weir.find("iommu: fault")


def test_attached_to_another_domain(boot):
    """Moves a device between two domains and back. One had no device before: its memory is mapped for devices when it
    gets one."""
    nic = Nic()
    weir = boot([CONTROL, NET0, "/boot/net.elf kernel name=net1 mem=48M"], nics=[nic], smp=2)
    weir.wait_for(r"net1\| net: no network device")
    assert weir.command("iommu stats net1")[0].startswith("  entries: 0 of 4K, 0 of 2M, 0 of 1G")
    with Load(weir, nic) as load:
        load.wait_for_more(weir)
        weir.command("detach 00:03.0")
        assert weir.command("attach 00:03.0 3") == ["00:03.0: attached to net1"]
        load.wait_for_more(weir)
        assert weir.command("iommu stats net1")[0].startswith("  entries: 0 of 4K, 24 of 2M, 0 of 1G")
        assert Guest(weir, nic, "net1").stats()["hypervisor"]["pages_owned"] == 48 * MB // 4096
        # Memory that it releases or populates changes for its devices, too.
        Guest(weir, nic, "net1").json("/release?mb=2")
        weir.command("detach 00:03.0")
        # Input typed while a command waits becomes the next command.
        assert weir.typed("attach 00:03.0 net0\rdomains\r")[1:2] == ["00:03.0: attached to net0"]
        weir.wait_for(r"weir> domains")
        load.wait_for_more(weir)
    assert Guest(weir, nic).stats()["hypervisor"]["pages_owned"] == 64 * MB // 4096
    assert not weir.find("iommu: fault")


def test_destroyed_under_load(boot):
    nic = Nic()
    weir = boot([CONTROL, NET0, "/boot/net.elf kernel name=net1 mem=48M"], nics=[nic], smp=2)
    weir.wait_for(r"net0\| net: serving http")
    with Load(weir, nic) as load:
        load.wait_for_more(weir)
        assert weir.command("destroy net0") == ["net0: destroyed, 65536 KiB freed"]
        weir.count(r"domain net0: its 16384 pages are free again", 1)
        assert "2" not in table(weir, "domains")
        assert table(weir, "devices")["00:03.0"][4:6] == ["-", "free"]
        # The device can be attached to another domain.
        assert weir.command("attach 00:03.0 net1") == ["00:03.0: attached to net1"]
        load.wait_for_more(weir)
        # While it is being attached, and while it is being detached.
        weir.command("detach 00:03.0")
        assert "still attaching" in weir.typed("attach 00:03.0 net1\r\x03")[-1]
        assert weir.command("destroy net1") == ["net1: destroyed, 49152 KiB freed"]
    assert table(weir, "devices")["00:03.0"][4:6] == ["-", "free"]
    assert [words[1] for words in table(weir, "domains").values()] == ["control"]


def test_a_walk_shows_the_tables(boot):
    nic = Nic()
    weir = boot([CONTROL, NET0], nics=[nic], smp=2)
    net0 = Guest(weir, nic)
    spare = weir.wait_for(r"net0\| runtime: .* spare \d+ KiB at ([0-9a-f]+);").group(1)
    weir.wait_for(r"net0\| net: serving http")

    show = f"iommu show 00:03.0 0x{spare}"
    answer = weir.command(show)
    assert [line.split()[:3] for line in answer[:3]] == [["level", str(n), "entry"] for n in (4, 3, 2)], answer
    entry = int(answer[2].split()[3], 16)
    assert answer[3] == f"  read and write, 2M: machine address 0x{entry & ~0xfff:x}", answer
    assert answer[4] == ("  page: type ram (now dev_tlb), owner net0, "
                         "dev_tlb references: 0 on the page, 1 on blocks that contain it"), answer
    # Another address of the same leaf is another page.
    shown = weir.command(f"iommu show 00:03.0 0x{int(spare, 16) + 0x5123:x}")
    assert shown[3].endswith(f"0x{(entry & ~0xfff) + 0x5123:x}")

    # After the guest has released the page, it is not mapped.
    away = threading.Thread(target=net0.json, args=("/release?mb=2&hold=60000",))
    away.start()
    weir.wait_until(lambda: weir.command(show)[-1] == "  nothing is mapped there",
                    "the page that the guest released is still mapped")
    net0.json("/take")
    away.join()
    assert "owner net0" in weir.command(show)[-1]

    assert weir.command("iommu show 00:03.0 0xf0000000")[-1] == "  nothing is mapped there"
    assert "beyond the width" in weir.command("iommu show 00:03.0 0xffffffffffff0000")[0]
    weir.command("detach 00:03.0")
    assert weir.command(show) == ["  all accesses of 00:03.0 are blocked: it is not attached"]

    queue = weir.command("iommu unit 0")[2]
    posted, completed = map(int, re.search(r"queue: (\d+) requests posted, (\d+) completed", queue).groups())
    assert posted == completed > 0


@pytest.mark.parametrize("command, word, remedy", [
    ("attach 00:03.0", "attach", "usage: attach DEVICE DOMAIN [ats]"),
    ("attach 3 net0", "3", "write bus:device.function"),
    ("attach 00:07.0 net0", "00:07.0", "type devices"),
    ("attach 00:03.0 nobody", "nobody", "type domains"),
    ("attach 00:03.0 net0", "00:03.0", "it is attached (domain net0); detach it first"),
    ("attach 00:00.0 net0", "00:00.0", "bridge, which stays with Weir"),
    ("attach 00:1f.3 net0", "00:1f.3", "neither MSI nor MSI-X"),
    ("attach 00:1f.2 net0 ats", "00:1f.2", "no ATS capability"),
    ("attach 00:1f.2 net0 fast", "fast", "only ats is allowed here"),
    ("detach 00:1f.2", "00:1f.2", "it is free; there is nothing to detach"),
    ("destroy control", "control", "cannot be destroyed"),
    ("destroy nobody", "nobody", "type domains"),
    ("iommu show 00:03.0 here", "here", "hexadecimal with 0x"),
    ("iommu show 00:03.0 0x10000000000000000", "0x10000000000000000", "not a number"),
    ("iommu unit 1", "1", "the first is 0"),
])
def test_refusals_are_explained(shell, command, word, remedy):
    answer = shell.command(command)
    assert len(answer) == 1 and word in answer[0] and remedy in answer[0], answer


def test_the_trace_is_in_order(shell):
    """Events of the network guest's device and memory, in order, with increasing times."""
    assert shell.command("iommu trace on") == ["  what happens to pages is recorded from now on"]
    assert shell.command("iommu trace on") == ["  what happens to pages is recorded already"]
    shell.command("detach 00:03.0")
    shell.command("attach 00:03.0 net0")
    rows = [line.split() for line in shell.command("iommu trace 1000")]
    assert shell.command("iommu trace off") == ["  what happens to pages is not recorded from now on"]
    numbers, times = [int(r[0]) for r in rows], [float(r[1]) for r in rows]
    assert numbers == sorted(numbers) and times == sorted(times) and len(rows) >= 3
    assert [r[4] for r in rows if r[2] == "net0" and r[3] == "00:03.0"] == ["attach", "isolate", "isolated", "attach"]
    assert len(shell.command("iommu trace 3")) == 3


def test_memory_is_carved_and_lent(boot):
    weir = boot([CONTROL, NET0], cmdline="control-iommu=relaxed", nics=[Nic()])
    weir.wait_for(r"net0\| net: serving http")
    weir.wait_for("iommu: identity-mapped")  # lent in the background

    def mib(command):
        answer = weir.command(command)
        found = re.search(r"(\d+) MiB free .* (\d+) MiB lent to this domain's devices, (\d+) MiB being taken back",
                          answer[0])
        assert found, answer
        return list(map(int, found.groups()))

    free, lent, _ = mib("memory")
    assert lent > 300
    weir.command("iommu trace on")
    assert mib("memory carve 100") == [free + 100, lent - 100, 0]
    assert "unmap" in " ".join(weir.command("iommu trace 10"))
    mib("memory lend")
    weir.wait_until(lambda: mib("memory")[1] > lent - 10, "the memory is not lent again")
    again = mib("memory")
    assert again[0] < free + 100
    assert sum(again) in range(free + lent - 2, free + lent + 2)
