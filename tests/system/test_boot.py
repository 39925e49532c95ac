"""Weir alone: it boots on every kind of machine, reports what it found, and panics readably."""
import re

import pytest

from mutant import plant
from weir import DEBUG_ELF, PANIC, READY, ROOT


@pytest.mark.quick
@pytest.mark.parametrize("smp", [1, 2])
def test_all_cpus_start(boot, smp):
    weir = boot(smp=smp)
    weir.wait_ready()
    weir.count(rf"cpu: {smp} CPUs? online", 1)


# With smt=off one thread of each core starts: threads are told from cores by the topology, not by counting.
@pytest.mark.parametrize("smp, online, off", [("4,cores=2,threads=2", 2, 2), ("4,cores=1,threads=4", 1, 3),
                                              ("3,cores=3,threads=1", 3, 0)])
def test_one_thread_of_each_core_starts(boot, smp, online, off):
    weir = boot(smp=smp, cmdline="smt=off")
    weir.wait_ready()
    weir.count(rf"cpu: one thread of each core by smt=off; {off} stay off", 1)
    weir.count(rf"cpu: {online} CPUs? online", 1)


@pytest.mark.parametrize("mem, mib", [("512M", 512), ("5G", 5120)])
def test_all_memory_is_found(boot, mem, mib):
    weir = boot(mem=mem)
    weir.wait_ready()
    found = int(weir.wait_for(r"memory: (\d+) MiB of RAM").group(1))
    free = int(weir.wait_for(r"memory: (\d+) MiB free").group(1))
    # The firmware and Weir use some memory.
    assert mib - 4 <= found <= mib, f"found {found} of {mib} MiB"
    assert found * 0.97 <= free < found, f"{free} of {found} MiB free"


@pytest.mark.parametrize("mem", ["512M", "5G"])
def test_nothing_that_is_executed_can_be_written(boot, mem):
    """Weir's own tables, the direct map included, as they are when the first guest is about to start."""
    weir = boot(mem=mem, smp=2, elf=DEBUG_ELF)
    weir.wait_ready()
    weir.count(r"paging: \d+ mappings checked: \d+ frames can be executed, none of them written", 1)
    weir.count(r"paging: .* can be executed, and written", 0)


def test_qemu_exits_when_weir_is_ready(boot):
    weir = boot(cmdline="exit=ready")
    assert weir.wait_exit() == READY
    weir.count(r"weir: ready$", 1)


def test_time_passes(boot):
    weir = boot()
    weir.wait_ready()
    stamps = [float(m.group(1)) for m in (re.match(r"\[ *(\d+\.\d{6})\] ", line) for line in weir.find(r"^\[")) if m]
    assert len(stamps) > 5 and stamps == sorted(stamps) and stamps[-1] > 0, stamps


def test_an_unknown_word_is_named(boot):
    weir = boot(cmdline="foo loglevel=loud")
    weir.wait_ready()
    weir.count(r'warning: command line: unknown word "foo" ignored', 1)
    weir.count(r'warning: command line: .*loud', 1)


@pytest.mark.parametrize("smp", [1, 2])
def test_a_panic_is_readable(boot, smp):
    weir = boot(cmdline="panic=test", smp=smp)
    assert weir.wait_exit() == PANIC
    weir.count(r"panic on CPU 0: requested by panic=test", 1)
    weir.count(r"from ffffffff8[0-9a-f]{7}  boot_main\+0x[0-9a-f]+$", 1)
    weir.count(r"Weir has stopped", 1)
    weir.count(r"weir: ready", 0)


def test_a_fault_before_the_hosts_gs_is_back(boot, tmp_path):
    """An exception between a guest's exit and the reload of the host's state ends in a readable panic."""
    elf = plant(tmp_path, {"kernel/guest/vcpu/svm/run.asm": ("\tvmrun\n", "\tvmrun\n\tud2\n")})
    weir = boot(["/boot/control.elf kernel name=control mem=16M control"], elf=elf)
    weir.wait_for("panic on CPU 0: invalid opcode", 60, panic_is_fine=True)
    weir.wait_for("rip .*svm_world_switch", 30, panic_is_fine=True)
    weir.wait_for("Weir has stopped", 30, panic_is_fine=True)


def test_a_stack_that_overflows_is_named(boot, tmp_path):
    """The first NMI's handler calls itself without end."""
    elf = plant(tmp_path, {"kernel/core/nmi.c": ("""	(void)atomic_add(&count, 1);
""", """	volatile u8 deep[256];

	deep[0] = 0;
	(void)atomic_add(&count, 1);
	if (read_once(&count))
		return nmi_take() || deep[0];
""")})
    weir = boot(elf=elf)
    weir.wait_ready()
    weir.monitor.ask("nmi")
    weir.wait_for("panic on CPU 0: double fault", 60, panic_is_fine=True)
    weir.wait_for("  the NMI stack of this CPU has overflowed", 30, panic_is_fine=True)
    weir.wait_for("rip .*nmi_take", 30, panic_is_fine=True)
    weir.wait_for("Weir has stopped", 30, panic_is_fine=True)


def test_weir_boots_without_a_console(boot):
    weir = boot(cmdline="console=none exit=ready")
    assert weir.wait_exit() == READY
    weir.count(r"weir: ready", 0)


def test_a_serial_port_that_is_absent_is_named(boot):
    weir = boot(cmdline="console=com2")
    weir.wait_ready()
    weir.count(r"warning: console: there is no UART at port 0x2f8", 1)


def test_grub_speaks_on_the_serial_line(boot):
    menu = (ROOT / "boot/grub.cfg").read_text().split("menuentry")[0]
    weir = boot(head=menu + 'echo "this is GRUB"\n')
    weir.wait_ready()
    weir.count(r"this is GRUB", 1)


@pytest.mark.quick
@pytest.mark.parametrize("flags", ["none", "intremap=off"])
def test_weir_boots_without_remapping(boot, flags):
    weir = boot(iommu=flags)
    weir.wait_ready()
    weir.count(r"error: ", 0)
