"""How long a CPU runs with interrupts disabled, in instructions. A debug image measures it (kernel/core/irqoff.h)."""
import re

import pytest

from weir import BUILD, DEBUG_ELF, IDLE

CPU, FUZZ = BUILD / "tests/guests/cpu.elf", BUILD / "tests/guests/fuzz.elf"
LIMIT = 200_000


def edu(*slots):
    return [o for slot in slots for o in ("-device", f"edu,addr={slot},dma_mask=0xffffffffffffffff")]


def counted(boot, modules, timeout=300, **options):
    """Boots the modules on one CPU, counting instructions, until the last domain has ended."""
    weir = boot(modules, files=[CPU, FUZZ], elf=DEBUG_ELF, counted=0, smp=1,
                cmdline=f"exit=idle {options.pop('cmdline', '')}", **options)
    assert weir.wait_exit(timeout) == IDLE
    return weir


def bounded(weir):
    """Checks that no stretch with interrupts disabled was longer than the limit."""
    longest = weir.count(r"irqoff: CPU 0: \d+ counts at most", 1)[0]
    found = int(re.search(r"CPU 0: (\d+) counts", longest)[1])
    print(f"{found} instructions at most")
    assert 10_000 < found <= LIMIT, weir.find(r"irqoff:")


def test_memory_given_back_restarts_and_ends(boot):
    """One guest is restarted until it ends; the other gives memory back and takes it. Both own a device."""
    weir = counted(boot, ["/boot/fuzz.elf kernel name=f mem=32M pci=00:05.0 -- only=memory,shatter,dma steps=40",
                          "/boot/cpu.elf kernel name=c mem=64M pci=00:03.0 -- restart-acpi"], qemu=edu(3, 5))
    weir.count(r"f\| .*powered off|f: powered off", 1)
    bounded(weir)


@pytest.mark.parametrize("iommu", [None, "intremap=on,device-iotlb=on,x-no-superpages=on"][:1])
def test_large_domains(boot, iommu):
    """Both are built, give nearly all of their memory back in one call, take it again, and end. One has a device."""
    weir = counted(boot, ["/boot/hello.elf kernel name=first mem=16M",
                          "/boot/cpu.elf kernel name=a mem=2304M pci=00:05.0 -- bulk",
                          "/boot/cpu.elf kernel name=b mem=1536M -- bulk"], mem="4200M", qemu=edu(5), iommu=iommu)
    weir.count(r"[ab]\| FAIL", 0)
    weir.count(r"[ab]: powered off, status 0", 2)
    bounded(weir)


def test_a_slow_uart(boot):
    """A guest logs as fast as it can, and the machine's UART sends slowly. Nobody waits, and no line is lost."""
    weir = counted(boot, ["/boot/fuzz.elf kernel name=f mem=32M -- only=log steps=800"], slow_serial=True)
    said = [line for line in weir.lines if re.search(r"f\| [0-9a-f]{30,}", line)]
    assert len(said) > 700
    weir.count(r"console: \d+ bytes of the log are not shown", 0)
    weir.count(r"f: powered off", 1)
    bounded(weir)
