"""What Linux guests boot: Debian's kernel (tools/fetch-linux), and an initramfs of busybox with a script of the test's own."""
import gzip
import re
import stat

from weir import ROOT

LINUX = ROOT / "third_party/linux"
KERNEL = LINUX / "vmlinuz"

# Enough for a shell; the test's script goes on, in which every line that matters is shown behind "init: ".
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
"""

# What a sound kernel on a sound machine does not say.
TROUBLE = re.compile(r"Kernel panic|BUG:|WARNING: CPU|Oops|Call Trace|lockup|rcu.*(stall|kthread starved)|hung_task|blocked for more than"
                     r"|unchecked MSR|[Ss]purious|nobody cared|clocksource.*(unstable|skew)|Trying to vfree|ACPI (BIOS )?(Error|Warning)"
                     r"|ACPI (Error|Exception)|I/O error|invalid opcode|general protection|segfault", re.ASCII)


def entry(name, mode, data=b"", device=(0, 0)):
    """One of a cpio archive (initramfs buffer format: "newc")."""
    path = name.encode() + b"\0"
    header = b"070701" + b"".join(b"%08X" % n for n in (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)) + path
    return header + bytes(-len(header) % 4) + data + bytes(-len(data) % 4)


def initrd(path, script, files=()):
    """Makes an initramfs at `path`: busybox, `files`, and an /init that ends with `script`."""
    archive = b"".join(entry(d, stat.S_IFDIR | 0o755) for d in ("bin", "dev", "proc", "sys", "etc"))
    archive += entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive += entry("init", stat.S_IFREG | 0o755, (INIT + script).encode())
    for file in (LINUX / "busybox", *files):
        archive += entry(f"bin/{file.name}", stat.S_IFREG | 0o755, file.read_bytes())
    path.write_bytes(gzip.compress(archive + entry("TRAILER!!!", 0), 1))
    return path
