"""Kernels that others wrote start, and do what they do on a bare machine. docs/guests.md has a row for each test."""
import os
import re
import subprocess

import pytest

from kernels import fetch, screen, written
from linux import KERNEL, initrd
from linux_guest import BOOT, sound
from linux_net import COMMAND_LINE, SCRIPT
from test_control import CONTROL
from weir import GUESTS, IDLE

pytestmark = pytest.mark.long

# Tests 0 to 9 of 8 MiB.
MEMTEST = 300


def test_multiboot_example(boot):
    """The example of the Multiboot specification shows all that it was told."""
    kernel = fetch("multiboot") / "kernel.elf"
    weir = boot([CONTROL, "/boot/kernel.elf kernel name=example mem=16M -- a word",
                 "/boot/kernel.elf ramdisk=example -- itself"], files=[kernel])
    weir.wait_for(r"domain example: halted: ")
    rows = screen(weir, "example", "mem_lower")
    assert rows[1] == "mem_lower = 639KB, mem_upper = 15360KB"
    assert rows[2] == "cmdline = example a word"
    assert rows[3].startswith("mods_count = 1, ")
    assert rows[4].endswith("cmdline = itself")
    assert " size = 0x14, base_addr = 0x000100000, length = 0x000f00000, type = 0x1" in rows
    assert "Halted." in rows


def test_invaders(boot):
    """The game begins without a key: the invaders move, above the player's cannon."""
    kernel = fetch("grub-invaders") / "invaders.exec"
    weir = boot([CONTROL, f"/boot/{kernel.name} kernel name=game mem=16M"], files=[kernel])
    weir.wait_prompt()
    first = weir.wait_until(lambda: screen(weir, "game", "-*-"), "no invaders on the screen")
    assert sum(row.count("-*-") for row in first) > 20
    assert re.search(r"/.\\", first[24])
    weir.wait_until(lambda: screen(weir, "game", "-*-") != first, "the invaders stand still")


def test_grub_starts_another_kernel(boot, tmp_path):
    """GRUB as a Multiboot kernel, with a configuration and two files in it: it runs commands, reads its files, and
    starts a kernel as it does on a PC."""
    modules = fetch("grub")
    (tmp_path / "grub.cfg").write_text("""serial --unit=0 --speed=115200
terminal_output serial
echo "GRUB for $grub_cpu-$grub_platform"
lsmmap
multiboot (memdisk)/hello.elf from GRUB
module (memdisk)/hello.elf itself
boot
""")
    subprocess.run(["tar", "-cf", tmp_path / "memdisk", "-C", GUESTS, "hello.elf"], check=True)
    kernel = tmp_path / "grub.elf"
    subprocess.run(["grub-mkimage", "-O", "i386-multiboot", "-d", modules, "-c", tmp_path / "grub.cfg",
                    "-m", tmp_path / "memdisk", "-p", "(memdisk)", "-o", kernel,
                    "normal", "echo", "serial", "terminal", "multiboot", "lsmmap", "memdisk", "tar"], check=True)
    weir = boot(["/boot/grub.elf kernel name=grub mem=64M"], files=[kernel], cmdline="exit=idle")
    weir.wait_for(r"grub\| .*GRUB for i386-multiboot")
    assert weir.wait_exit(60) == IDLE
    weir.count(r"grub\| base_addr = 0x100000, length = 0x3f00000, available RAM", 1)
    weir.count(r'grub\| hello: command line "from GRUB"', 1)
    weir.count(r'grub\| hello: module "itself", \d+ bytes: 7f 45 4c 46', 1)
    weir.count(r"domain grub: powered off, status 0", 1)


@pytest.mark.parametrize("image, vcpus", [("memtest86+x64.bin", 1), ("memtest86+ia32.bin", 2)])
def test_memtest(boot, image, vcpus):
    """All tests of the memory up to the one that waits for minutes find no error. The one for i386 uses all CPUs."""
    kernel = fetch("memtest86+") / image
    weir = boot([f"/boot/{image} kernel name=memtest mem=8M vcpus={vcpus} -- console=ttyS0,115200 nobench"],
                files=[kernel], smp=vcpus)
    weir.wait_for(r"memtest\| .*Memtest86\+ v\d", 60)
    weir.wait_until(lambda: "#10 [" in written(weir, "memtest"), "Memtest86+ does not get to its test 10", MEMTEST)
    assert set(re.findall(r"Errors: *(\d+)", written(weir, "memtest"))) == {"0"}
    assert vcpus == 1 or "SMP: 2T" in written(weir, "memtest")


def test_tboot_starts_another_kernel(boot):
    """Without Intel's TXT, it says so, and starts the kernel all the same, here Memtest86+."""
    kernel = fetch("tboot") / "tboot.elf"
    other = fetch("memtest86+") / "memtest86+x64.bin"
    weir = boot(["/boot/tboot.elf kernel name=tboot mem=128M -- logging=serial",
                 f"/boot/{other.name} ramdisk=tboot -- memtest console=ttyS0,115200 nobench"], files=[kernel, other])
    weir.wait_for(r"tboot\| TBOOT: \*+ TBOOT \*+")
    weir.wait_for(r"tboot\| TBOOT: \s*0000000000100000 - 0000000008000000  \(1\)")
    weir.wait_for(r"tboot\| TBOOT: transfering control to kernel @0x100000")
    weir.wait_for(r"tboot\| .*Memtest86\+ v\d", 60)


@pytest.mark.parametrize("flavour, kind", [
    ("linux-cloud", r"\S+-cloud-amd64 x86_64"),
    ("linux-rt", r"\S+-rt-amd64 x86_64"),
    ("linux-i386", r"\S+-686 i686"),
])
def test_linux(boot, tmp_path, flavour, kind):
    """Debian's other kernels. The one for i386 runs programs for i386."""
    files = fetch(flavour)
    busybox = files / "busybox"
    script = initrd(tmp_path / "initrd", SCRIPT + 'say "runs $(uname -rm) on $(nproc) CPUs"\npoweroff -f\n',
                    busybox=busybox if busybox.exists() else None)
    weir = boot([f"/boot/vmlinuz kernel name=linux mem=256M vcpus=2 restart=never -- {COMMAND_LINE}",
                 "/boot/initrd ramdisk=linux"],
                files=[files / "vmlinuz", script], smp=2, cmdline="exit=idle loglevel=debug")
    weir.wait_for(rf"linux\| .*init: runs {kind} on 2 CPUs", BOOT)
    assert weir.wait_exit(60) == IDLE
    weir.count(r"domain linux: powered off, status 0", 1)
    weir.count(r"unknown MSR", 0)
    sound(weir)


def test_xen_runs_linux(boot, tmp_path):
    """Xen uses the local and the I/O APIC and the PIT, and Debian's kernel, as its domain 0, runs a program."""
    kernel = fetch("xen") / "xen.elf"
    script = initrd(tmp_path / "initrd", SCRIPT + 'say "Linux runs on $(cat /sys/hypervisor/type)"\npoweroff -f\n')
    weir = boot(["/boot/xen.elf kernel name=xen mem=768M restart=never -- "
                 "no-real-mode com1=115200,8n1,0x3f8,0 console=com1 dom0_mem=512M",
                 f"/boot/vmlinuz ramdisk=xen -- vmlinuz {COMMAND_LINE.replace('ttyS0', 'hvc0')}",
                 "/boot/initrd ramdisk=xen"],
                files=[kernel, KERNEL, script], mem="1200M", cmdline="exit=idle loglevel=debug")
    weir.wait_for(r"xen\| \(XEN\) Xen version 4\.", BOOT)
    weir.wait_for(r"xen\| \(XEN\) ENABLING IO-APIC IRQs", BOOT)
    weir.wait_for(r"xen\| .*Linux version", BOOT)
    weir.wait_for(r"xen\| .*init: Linux runs on xen", BOOT)


# A task's program: the trap mach_print, which writes a string to the console.
MACH_TASK = """
	.globl _start
_start:	push $text
	push $0
	mov $-30, %eax
	lcall $7, $0
1:	jmp 1b
text:	.asciz "a task runs\\n"
"""


def test_gnu_mach_runs_a_task(boot, tmp_path):
    """GNU Mach looks for its devices, reads the clock, and starts the task that is its bootstrap module."""
    kernel = fetch("gnumach") / "kernel.elf"
    (tmp_path / "task.S").write_text(MACH_TASK)
    subprocess.run([os.environ.get("HOSTCC", "gcc"), "-m32", "-nostdlib", "-static", "-no-pie", "-o",
                    tmp_path / "task.elf", tmp_path / "task.S"], check=True)
    weir = boot(["/boot/kernel.elf kernel name=mach mem=64M -- console=com0",
                 "/boot/task.elf ramdisk=mach -- task '$(task-create)' '$(task-resume)'"],
                files=[kernel, tmp_path / "task.elf"])
    weir.wait_for(r"mach\| GNU Mach 1\.8")
    weir.wait_for(r"mach\| RTC time is 20\d\d-", 60)
    weir.wait_for(r"mach\| task loaded: task")
    weir.wait_for(r"mach\| start task: a task runs")
