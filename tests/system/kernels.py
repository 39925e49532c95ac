"""Kernels that others wrote, from Debian's archive (tools/fetch-kernels), and what they show."""
import subprocess

import pytest

from weir import ROOT

NOT_OFFERED = 3
COLUMNS, ROWS = 80, 25


def fetch(name):
    """The directory with this kernel. Skips the test if this release of Debian does not offer it."""
    made = subprocess.run([ROOT / "tools/fetch-kernels", name], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    if made.returncode == NOT_OFFERED:
        pytest.skip(made.stdout.strip())
    assert made.returncode == 0, made.stderr
    return ROOT / "third_party/kernels" / name


def screen(machine, word):
    """The rows of a guest's text screen with this word, or None. `machine`: its RAM is searched for the page that a
    guest has at 0xb8000, where each character is followed by its attributes."""
    for page in range(0, len(machine.ram), 4096):
        cells = machine.ram[page:page + 2 * COLUMNS * ROWS]
        if word.encode() in cells[::2] and len(set(cells[1::2])) < 16:
            text = cells[::2].replace(b"\0", b" ").decode("cp437")
            return [text[at:at + COLUMNS].rstrip() for at in range(0, len(text), COLUMNS)]
    return None


def written(weir, name):
    """All that this domain has written to COM1. The log breaks its lines."""
    return "".join(line.split(f"{name}| ", 1)[1] for line in weir.find(rf"\b{name}\| "))
