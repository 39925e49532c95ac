"""Other domains' consoles in the control domain's shell: `console NAME`, and back with Ctrl-]."""
import re
import time

import pytest

from linux import KERNEL, initrd
from weir import BUILD, IDLE, SEQUENCE

CPU = BUILD / "tests/guests/cpu.elf"
CONTROL = "/boot/control.elf kernel name=control mem=16M control prio=200"
BACK = "\x1d"


class Consoles:
    """The dialogue with the shell and the consoles."""

    def __init__(self, weir):
        self.weir = weir

    def open(self, name):
        self.weir.type(f"console {name}\r")
        self.weir.wait_for(rf"^Connected to {name}; Ctrl-\] returns\.$")

    def leave(self, name, typed=""):
        """Types this and Ctrl-] in one piece. Returns the lines that this has brought."""
        since = len(self.weir.lines)
        self.weir.type(typed + BACK)
        self.weir.wait_prompt(timeout=120)
        assert f"Disconnected from {name}" in self.weir.lines[since:]
        return self.weir.lines[since:]

    def prompt(self, prompt, timeout=30):
        """Waits until the current line is this."""
        deadline = self.weir.time() + timeout
        with self.weir.changed:
            while not SEQUENCE.sub("", self.weir.screen.line).endswith(prompt):
                if self.weir.ended or self.weir.time() > deadline:
                    self.weir.fail(f"no {prompt!r}, but {self.weir.screen.line!r}")
                self.weir.changed.wait(0.5)

    def ask(self, text, prompt, timeout=30):
        """Types a line. Returns the lines that come before the next prompt."""
        self.prompt(prompt, timeout)
        since = len(self.weir.lines)
        self.weir.type(text + "\r")
        with self.weir.changed:
            self.weir.changed.wait_for(lambda: len(self.weir.lines) > since, timeout)
        self.prompt(prompt, timeout)
        return [SEQUENCE.sub("", line) for line in self.weir.lines[since:] if not line.startswith("[")]


def dialogue(boot, words="console", smp=2):
    weir = boot([CONTROL, *(f"/boot/cpu.elf kernel name={name} mem=16M -- {words}" for name in "ab")], files=[CPU],
                smp=smp,
                cmdline="exit=idle")
    for name in "ab":
        weir.wait_for(rf"{name}\| console: ready")
    weir.wait_prompt()
    return weir, Consoles(weir)


@pytest.mark.parametrize("smp", [1, 2])
def test_two_guests_have_a_console_each(boot, smp):
    weir, consoles = dialogue(boot, smp=smp)
    consoles.open("a")
    # What the guest printed before the console was opened is shown, too.
    assert consoles.ask("stressed", "? ") == ["? ", "desserts"]
    consoles.leave("a")
    consoles.open("b")
    assert consoles.ask("diaper", "? ") == ["? ", "repaid"]
    consoles.leave("b", "later\r")
    # The guest got the line. The console is closed: its answer, after 1.5 s, goes to the log.
    weir.wait_for(r"^\[.*\] b\| this is later$")
    weir.count(r"\| (desserts|repaid)", 0)
    consoles.open("a")
    weir.type("quit\r")
    weir.wait_for(r"^Domain ended: a$")
    weir.wait_for(r"domain a: its \d+ pages are free again")
    assert weir.command("console a") == ['"a": no such domain; type domains for a list']
    assert weir.command("console control") == ['"control": this is the control domain; you are using its console']


def test_nothing_is_lost(boot):
    """More output than Weir buffers for the control domain: the guest's transmitter is busy then. And more input
    than a UART's FIFO holds."""
    weir, consoles = dialogue(boot)
    consoles.open("a")
    consoles.prompt("? ")
    assert consoles.ask("numbers", "? ", 60)[1:] == [f"number {n:05}" for n in range(1, 3001)]
    words = [f"word{n}" for n in range(60)]
    since = len(weir.lines)
    weir.type("".join(w + "\r" for w in words))
    for w in words:
        weir.wait_for(rf"^(\? )?{w[::-1]}$")
    assert len(weir.lines) - since <= 2 * len(words) + 1
    consoles.leave("a")


def test_what_is_typed_before_leaving_is_the_guests(boot):
    """More than its UART has room for, and Ctrl-] right behind it: nothing is lost."""
    weir, consoles = dialogue(boot)
    consoles.open("a")
    consoles.prompt("? ")
    words = [f"word{n}" for n in range(10, 40)]
    told = consoles.leave("a", "".join(w + "\r" for w in words))
    assert not [line for line in told if "lost" in line]
    consoles.open("a")
    weir.type("drawer\r")
    weir.wait_for("^reward$")
    # The console was closed amid the answers: the others are in the log, and one perhaps in halves.
    shown = [re.sub(r"^\[.*\] a\| ", "", line) for line in weir.lines]
    assert len([w for w in words if shown.count(w[::-1]) != 1]) <= 1, shown
    consoles.leave("a")


@pytest.mark.parametrize("keys", [256, 9000])
def test_a_guest_that_does_not_read(boot, keys):
    """The administrator comes back to the shell however much was typed, is told what was lost, and can end the guest.
    """
    weir = boot([CONTROL, "/boot/cpu.elf kernel name=deaf mem=16M -- ticks"], files=[CPU], cmdline="exit=idle")
    weir.wait_for(r"deaf\| ticks")
    weir.wait_prompt()
    consoles = Consoles(weir)
    consoles.open("deaf")
    # The guest's UART has room for 64; those that wait in the shell, 8192 at most, are lost as well.
    told = consoles.leave("deaf", "x" * keys)
    assert f"{keys - 64} characters are lost, because deaf did not read them" in told, told
    assert weir.command("destroy deaf") == ["deaf: destroyed, 16384 KiB freed"]


def test_it_is_the_administrators_terminal(boot):
    """Colours pass; sequences that set titles, request reports or reset the terminal do not."""
    weir, consoles = dialogue(boot)
    consoles.open("a")
    consoles.ask("sequences", "? ")
    line = weir.wait_for("\x1b\\[1;31m.*").string
    assert line == "\x1b[1;31mred\x1b[0m 0;title\x07" + "1 end", repr(line)
    consoles.leave("a")
    weir.count("\x1b[^[]", 0)


def test_a_guest_that_reboots_keeps_its_console(boot):
    weir, consoles = dialogue(boot)
    consoles.open("a")
    consoles.prompt("? ")
    weir.type("again\r")
    weir.wait_for(r"^console: ready")
    assert consoles.ask("drawer", "? ")[-1] == "reward"
    consoles.leave("a")


LOGIN = """
mkdir /etc
echo 'root::0:0::/:/bin/sh' >/etc/passwd
export PS1='{name}# '
while :; do setsid getty -L 115200 ttyS0 vt100; done
"""


@pytest.mark.long
def test_two_linux_guests_have_a_login_each(boot, tmp_path):
    """Two Linux guests side by side, each with a login."""
    names = ["l1", "l2"]
    disks = [initrd(tmp_path / f"{n}.initrd", LOGIN.replace("{name}", n)) for n in names]
    weir = boot([CONTROL] + [line for n in names
                             for line in (f"/boot/vmlinuz kernel name={n} mem=192M -- console=ttyS0 quiet",
                                                              f"/boot/{n}.initrd ramdisk={n}")],
                files=[KERNEL, *disks], smp=2, mem="1G", cmdline="exit=idle")
    weir.wait_prompt()
    consoles = Consoles(weir)
    for n in names:
        consoles.open(n)
        consoles.prompt("login: ", 300)
        weir.type("root\r")
        assert consoles.ask("tty; echo $((6 * 7))", "# ", 60)[1:] == ["/dev/ttyS0", "42"]
        consoles.leave(n)
    consoles.open("l1")
    weir.type("\r")
    assert consoles.ask("seq 1 500", "# ", 60)[-500:] == [str(i) for i in range(1, 501)]
    weir.type("sleep 1000\r")
    time.sleep(1)
    weir.type("\x03")
    consoles.prompt("# ")
    # Move the cursor left twice and insert a letter.
    assert consoles.ask("echo ac\x1b[Db", "# ")[-1] == "abc"
    for n in names:
        if n != "l1":
            consoles.open(n)
            weir.type("\r")
        consoles.prompt("# ")
        weir.type("poweroff -f\r")
        weir.wait_for(rf"^Domain ended: {n}$", 60)
