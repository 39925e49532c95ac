"""What Linux guests boot: Debian's kernel (tools/fetch-linux), and an initramfs of busybox with a script from the
test."""
import lzma
import os
import re
import struct
import subprocess
import zlib

from weir import ROOT

LINUX = ROOT / "third_party/linux"
KERNEL = LINUX / "vmlinuz"

# What a healthy kernel on a healthy machine does not log.
TROUBLE = re.compile(r"Kernel panic|BUG:|WARNING: CPU|Oops|Call Trace|lockup|rcu.*(stall|kthread starved)"
                     r"|blocked for more than|unchecked MSR|[Ss]purious|nobody cared|clocksource.*(unstable|skew)"
                     r"|ACPI (BIOS )?(Error|Warning|Exception)|I/O error|invalid opcode|general protection|segfault")


def vmlinux(path):
    """Unpacks the kernel's ELF file from KERNEL to `path`, without debugging information."""
    image = KERNEL.read_bytes()
    # boot.rst: setup_sects; payload_offset, payload_length
    start = (image[0x1F1] + 1) * 512 + struct.unpack_from("<I", image, 0x248)[0]
    payload = image[start:start + struct.unpack_from("<I", image, 0x24C)[0]]
    # The size of the unpacked kernel follows the packed data.
    packed = {b"\xfd7zXZ": lzma.LZMADecompressor, b"\x1f\x8b": lambda: zlib.decompressobj(31)}
    unpacker = next(make for magic, make in packed.items() if payload.startswith(magic))
    path.write_bytes(unpacker().decompress(payload))
    subprocess.run(["objcopy", "-S", path], check=True)
    return path


def built_in():
    """The names of the modules that are built into KERNEL."""
    paths = (LINUX / "modules.builtin").read_text().split()
    return {path.rsplit("/", 1)[-1].removesuffix(".ko").replace("-", "_") for path in paths}


def drivers(*names):
    """The modules of these drivers in LINUX, each after those that it depends on, without those that are built in."""
    found = []
    for name in (n.replace("-", "_") for n in names):
        if name in built_in():
            continue
        module = LINUX / f"{name}.ko"
        needs = re.search(rb"\0depends=([^\0]*)\0", module.read_bytes())[1].decode()
        found += [m for m in (*drivers(*filter(None, needs.split(","))), module) if m not in found]
    return found


def initrd(path, script, files=(), busybox=None):
    """Makes an initramfs at `path`; its /init ends with `script`. `busybox`: instead of the one in LINUX."""
    path.with_suffix(".sh").write_text(script)
    subprocess.run([ROOT / "tools/mkinitrd", path, path.with_suffix(".sh"), *files], check=True,
                   env=dict(os.environ, BUSYBOX=str(busybox or "")))
    return path
