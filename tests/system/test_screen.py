"""The text screen of a guest, which the control domain's shell shows."""
from test_control import CONTROL
from weir import BUILD

CPU = BUILD / "tests/guests/cpu.elf"


def start(boot, group, words=""):
    weir = boot([CONTROL, f"/boot/cpu.elf kernel name=s mem=16M {words} -- {group}"], files=[CPU])
    weir.wait_for(r"s\| screen: is")
    return weir


def test_a_screen_is_shown(boot):
    weir = start(boot, "screen")
    wanted = ["screen: the first line", "", " " * 76 + "ends", "  +=+ |.a."] + [""] * 20 + [" " * 79 + "%"]
    assert weir.command("screen s") == wanted + ["  cursor: line 25, column 8"]
    # One that nobody has written to.
    assert weir.command("screen control")[0] == "  the screen is blank"
    assert weir.command("screen nobody") == ['"nobody": no such domain; type domains for a list']


def test_a_screen_that_begins_elsewhere(boot):
    weir = start(boot, "screen-scrolled")
    assert weir.command("screen s") == ["begin", " " * 40 + "from the beginning", "  no cursor"]


def test_a_screen_without_registers(boot):
    weir = start(boot, "screen", "legacy=off")
    answer = weir.command("screen s")
    assert answer[0] == "screen: the first line" and answer[-1] == "  no cursor", answer


def test_a_screen_that_was_given_back(boot):
    weir = start(boot, "screen-gone")
    assert weir.command("screen s") == ['"s": this domain has given back the memory of its screen (0xb8000)']
