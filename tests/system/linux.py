"""What Linux guests boot: Debian's kernel (tools/fetch-linux), and an initramfs of busybox with a script of the test's own."""
import re
import subprocess

from weir import ROOT

LINUX = ROOT / "third_party/linux"
KERNEL = LINUX / "vmlinuz"

# What a sound kernel on a sound machine does not say.
TROUBLE = re.compile(r"Kernel panic|BUG:|WARNING: CPU|Oops|Call Trace|lockup|rcu.*(stall|kthread starved)|blocked for more than"
                     r"|unchecked MSR|[Ss]purious|nobody cared|clocksource.*(unstable|skew)|ACPI (BIOS )?(Error|Warning|Exception)"
                     r"|I/O error|invalid opcode|general protection|segfault")


def drivers(*names):
    """The modules of these drivers, as they lie in LINUX, each behind those that it needs."""
    found = []
    for name in names:
        module = LINUX / f"{name.replace('-', '_')}.ko"
        needs = re.search(rb"\0depends=([^\0]*)\0", module.read_bytes())[1].decode()
        found += [m for m in (*drivers(*filter(None, needs.split(","))), module) if m not in found]
    return found


def initrd(path, script, files=()):
    """Makes an initramfs at `path`; its /init ends with `script`."""
    path.with_suffix(".sh").write_text(script)
    subprocess.run([ROOT / "tools/mkinitrd", path, path.with_suffix(".sh"), *files], check=True)
    return path
