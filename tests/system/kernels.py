"""Kernels that others wrote, from Debian's archive (tools/fetch-kernels), and what they show."""
import subprocess

import pytest

from weir import ROOT

NOT_OFFERED = 3


def fetch(name):
    """The directory with this kernel. Skips the test if this release of Debian does not offer it."""
    made = subprocess.run([ROOT / "tools/fetch-kernels", name], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    if made.returncode == NOT_OFFERED:
        pytest.skip(made.stdout.strip())
    assert made.returncode == 0, made.stderr
    return ROOT / "third_party/kernels" / name


def screen(weir, name, word):
    """The rows of this domain's text screen if one of them has this word, else None."""
    rows = weir.command(f"screen {name}")
    return rows if any(word in row for row in rows) else None


def written(weir, name):
    """All that this domain has written to COM1. The log breaks its lines."""
    return "".join(line.split(f"{name}| ", 1)[1] for line in weir.find(rf"\b{name}\| "))
