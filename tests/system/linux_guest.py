"""A Linux guest with a script from the test, and what its log must not contain."""
from linux import TROUBLE, drivers, initrd
from linux_net import COMMAND_LINE, SCRIPT

# Under TCG, the kernel unpacks itself in about ten seconds if nothing else runs.
BOOT = 180
DRIVER_TROUBLE = r"Hardware Unit Hang|NETDEV WATCHDOG|Reset adapter|does not load|got no address"


class Guest:
    """A Linux guest and its module lines. `script` is the end of its /init, `text` that of its command line."""

    def __init__(self, tmp_path, script, modules, name="linux", words="", mem="256M", vcpus=2, files=(), text=""):
        files = [*drivers(*modules), *files]
        self.name = name
        self.lines = [f"/boot/vmlinuz kernel name={name} mem={mem} vcpus={vcpus} {words} "
                      f"-- {COMMAND_LINE} {text}",
                      f"/boot/{name}.initrd ramdisk={name}"]
        load = f"load {' '.join(file.stem for file in files if file.suffix == '.ko')}\n"
        self.initrd = initrd(tmp_path / f"{name}.initrd", SCRIPT + load + script, files)

    def said(self, what):
        return rf"{self.name}\| .*init: {what}"


def number(weir, pattern):
    return int(weir.wait_for(pattern, 1)[1])


def sound(weir):
    """Checks that neither Linux nor Weir reported a problem."""
    weir.count(TROUBLE.pattern, 0)
    weir.count(DRIVER_TROUBLE, 0)
    weir.count(r"iommu: fault", 0)
    weir.count(r"ended by Weir", 0)
