"""An image of Weir with a planted bug. A test for forbidden behaviour must fail with it."""
import os
import shutil
import subprocess

from weir import BUILD, ROOT

CODE = ("boot", "kernel", "iommu", "drivers")
PARTS = ("Makefile", "linker.ld", *CODE, "tools")


def copy_objects(tree, build):
    """Copies the objects of an image with their times, so that make compiles only what differs."""
    built = ROOT / build
    if not (built / "flags").exists():
        return
    (tree / build).mkdir(parents=True)
    shutil.copy2(built / "flags", tree / build / "flags")
    for part in CODE:
        for source in [*(built / part).rglob("*.o"), *(built / part).rglob("*.d")]:
            target = tree / build / source.relative_to(built)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def changed(name, change):
    """The text of this file after a change: (text, replacement), or a list of these, each of which applies once."""
    source = (ROOT / name).read_text(encoding="utf-8")
    for text, replacement in change if isinstance(change, list) else [change]:
        assert source.count(text) == 1, f"{name} no longer contains the code to replace: {text!r}"
        source = source.replace(text, replacement)
    return source


def plant(tree, changes, debug=False):
    """Builds an image in the empty directory `tree` with `changes` = {file: (text, replacement), or a list of these},
    and returns its path."""
    # The objects' dependencies name them by this path.
    build = (BUILD / "debug" if debug else BUILD).relative_to(ROOT) if BUILD.is_relative_to(ROOT) else "build"
    for part in PARTS:
        (shutil.copy2 if (ROOT / part).is_file() else shutil.copytree)(ROOT / part, tree / part)
    (tree / "third_party").symlink_to(ROOT / "third_party")
    copy_objects(tree, build)
    for name, change in changes.items():
        (tree / name).write_text(changed(name, change), encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k not in ("BUILD", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    made = subprocess.run(["make", "-j2", f"BUILD={build}", *(["DEBUG=1"] if debug else []),
                           f"{build}/weir-stripped.elf"], cwd=tree, env=environment, check=False,
                          capture_output=True, text=True)
    assert not made.returncode, f"the image does not build: {made.stderr}"
    (tree / build / "boot").mkdir(exist_ok=True)
    return shutil.copy2(tree / build / "weir-stripped.elf", tree / build / "boot/weir.elf")
