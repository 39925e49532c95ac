"""The bugs of images.py: each can still be planted."""
import pytest

from images import PLANTS
from mutant import changed
from weir import ROOT


@pytest.mark.quick
def test_each_bug_applies():
    """The text that it changes is in its file once. Otherwise `make mutants` would find out, which nobody runs for
    each commit."""
    for bug in PLANTS.values():
        for name, change in bug.changes.items():
            assert changed(name, change) != (ROOT / name).read_text(encoding="utf-8")


def test_each_bug_has_its_test():
    for bug in PLANTS.values():
        file, test = bug.test.split("::")
        source = (ROOT / "tests/system" / file).read_text(encoding="utf-8")
        assert f"def {test.split('[')[0]}(" in source, bug.test
