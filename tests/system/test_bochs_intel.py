"""Weir on Intel's processors, which only the other machine has: it boots, its units and interrupts work as with AMD's,
and it says that guests need AMD's SVM."""
import pytest

from bochs import EDU, INTEL, UNITS, BochsView
from weir import BUILD

MODELS = [INTEL, "corei7_skylake_x", "tigerlake", "sapphire_rapids"]
# Of the global status register (VT-d, 11.4.4.2): translation, the queue, interrupt remapping; and the old format.
TES, QIES, IRES, CFIS = 1 << 31, 1 << 26, 1 << 25, 1 << 23


@pytest.mark.parametrize("model", MODELS)
def test_weir_boots_without_guests(bochs, model):
    weir = bochs([f"/boot/cpu.elf kernel name=e mem=64M pci={EDU[0]} -- msi"], files=[BUILD / "tests/guests/cpu.elf"],
                 model=model, smp=2)
    weir.wait_ready()
    weir.count(r"cpu: GenuineIntel, virtualisation: Intel VMX$", 1)
    weir.count(r"interrupts: x2APIC, \d+ I/O APICs masked", 1)
    weir.count(r"cpu: 2 CPUs online", 1)
    weir.count(r"iommu: unit 0 at 0xfed90000: .*, interrupt remapping \(x2APIC\)", 1)
    weir.count(r"Intel's VMX, and Weir runs guests on AMD's SVM only", 1)
    weir.count(r"e\| ", 0)
    status = BochsView(512, lambda: weir).number(UNITS[0] + 0x18) >> 32
    assert status & (TES | QIES | IRES | CFIS) == TES | QIES | IRES, hex(status)
