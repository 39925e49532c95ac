"""An image of Weir with a planted bug. A test for forbidden behaviour must fail with it."""
import os
import shutil
import subprocess

from weir import ROOT

PARTS = ("Makefile", "linker.ld", "boot", "kernel", "iommu", "drivers", "tools")


def plant(tree, changes, debug=False):
    """Builds an image in the empty directory `tree` with `changes` = {file: (text, replacement), or a list of these},
    and returns its path."""
    for part in PARTS:
        (shutil.copy2 if (ROOT / part).is_file() else shutil.copytree)(ROOT / part, tree / part)
    (tree / "third_party").symlink_to(ROOT / "third_party")
    for name, change in changes.items():
        source = (tree / name).read_text(encoding="utf-8")
        for text, replacement in change if isinstance(change, list) else [change]:
            assert source.count(text) == 1, f"{name} no longer contains the code to replace"
            source = source.replace(text, replacement)
        (tree / name).write_text(source, encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k not in ("BUILD", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    subprocess.run(["make", "-j2", *(["DEBUG=1"] if debug else []), "build/weir-stripped.elf"], cwd=tree,
                   env=environment, check=True,
                   capture_output=True)
    (tree / "build/boot").mkdir(exist_ok=True)
    return shutil.copy2(tree / "build/weir-stripped.elf", tree / "build/boot/weir.elf")
