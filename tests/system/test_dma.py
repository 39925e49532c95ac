"""A guest programs its device to access memory that does not belong to it: another guest's memory, Weir's code and
tables, the IOMMU's own tables, registers. Without translation each write would land and the guest would own the
machine, and each read would reveal others' data. Here nothing changes, each attempt is reported, and the guest's own
DMA continues."""
import re

from both import both_machines
from machine import PAGE
from test_network import Guest
from weir import BUILD

CONTROL = "/boot/control.elf kernel name=control mem=16M control"
BYSTANDER = "/boot/net.elf kernel name=by mem=64M pci=00:03.0"
ATTACKER = "/boot/cpu.elf kernel name=e mem=64M pci=00:05.0 -- dma"
MAGIC = b"".join((~n & (1 << 64) - 1).to_bytes(8, "little") for n in (0x7265616368206D65, 0x61627564206F7420))
ADDRESS = (1 << 52) - PAGE  # of a page, in an entry
VTD = 0xFED90000


def tables(weir, device, address):
    """The machine addresses of the I/O tables below the root, and of the pages that they map."""
    entries = [int(found[1], 16) for line in weir.command(f"iommu show {device} 0x{address:x}")
               if (found := re.match(r"level \d entry ([0-9a-f]+)", line.strip()))]
    return [entry & ADDRESS for entry in entries]


def reach(weir, machine, targets):
    """Makes the guest's device access these addresses."""
    weir.wait_for(r"e\| dma: where to reach\?")
    at = machine.ram.find(MAGIC)
    assert at >= 0 and machine.ram.find(MAGIC, at + 1) < 0
    for i, address in enumerate(targets):
        machine.ram[at + 24 + 8 * i:at + 32 + 8 * i] = address.to_bytes(8, "little")
    machine.ram[at + 16:at + 24] = len(targets).to_bytes(8, "little")
    return at + 16


@both_machines
def test_forbidden_dma_is_blocked_and_told(boot, machine):
    nic = machine.nic()
    weir = boot([CONTROL, BYSTANDER, ATTACKER], files=[BUILD / "tests/guests/cpu.elf"], smp=2, nics=[nic],
                **machine.options(edu=True))
    weir.wait_for(r"by\| net: serving http")
    spare = int(weir.wait_for(r"by\| runtime: .* spare \d+ KiB at ([0-9a-f]+);").group(1), 16)
    weir.wait_for(r"e\| dma: where to reach\?")
    root, queue, interrupts = (machine.register(VTD + r) & ADDRESS for r in (0x20, 0x90, 0xB8))
    own, others = tables(weir, "00:05.0", 0), tables(weir, "00:03.0", spare)
    # Memory that is not the guest's and must not change at all.
    still = {
        "Weir's code": machine.symbol("_text_start"),
        "its constants": machine.symbol("_rodata_start"),
        "the frame table": machine.pointer("frame_records"),
        "the attacker's own I/O tables": own[0],
        "the bystander's I/O tables": others[0],
        "the bystander's memory": others[-1],
        "the root table": root,
        "the context table": machine.number(root) & ADDRESS,
        "the interrupt-remapping table": interrupts,
    }
    # Memory that changes by itself, or is not RAM.
    moving = {
        "Weir's data": machine.symbol("cpus"),
        "the last page of the image": machine.symbol("_image_end") - PAGE,
        "the invalidation queue": queue,
        "the page behind the guest's last": 64 << 20,
        "the last page of RAM": (512 << 20) - PAGE,
        "ECAM": machine.ecam,
        "the bystander's NIC": machine.bar(3),
        "an I/O APIC": 0xFEC00000,
        "the HPET": 0xFED00000,
        "the remapping unit": VTD,
        "the firmware": 0xFFFFF000,
        "nothing": 0x7FFFFFF000,
        "beyond the width": 1 << 48,
        "the last page": (1 << 64) - PAGE,
    }
    before = {what: machine.page_hash(at) for what, at in still.items()}
    registers = [machine.register(VTD + r) for r in (0x18, 0x20, 0x90, 0xB8)]
    nr = reach(weir, machine, [*still.values(), *moving.values()])
    weir.wait_for(r"e\| dma: reached for", 60)

    assert {what: machine.page_hash(at) for what, at in still.items()} == before
    assert [machine.register(VTD + r) for r in (0x18, 0x20, 0x90, 0xB8)] == registers
    machine.ram[nr:nr + 8] = bytes(8)  # the guest goes on, and then its tables change
    for what, address in (still | moving).items():
        # Its device uses guest addresses, from 0 to 64 MiB: there it reached the guest's memory, not Weir's memory at
        # these addresses.
        if address < 64 << 20:
            continue
        reason = "the address is beyond the domain's width" if address >= 1 << 48 else "the page may not be {}"
        for kind, done in (("write", "written"), ("read", "read")):
            found = weir.find(rf"iommu: fault: device 00:05.0 of e: {kind} of address 0x{address:x}: "
                              rf"{reason.format(done)}")
            assert found, (what, kind, hex(address))
    weir.wait_for(r"e\| \d+ passed, \d+ failed")
    weir.count(r"e\| FAIL", 0)
    # The pages that were released, before and while the device wrote, and the entries that the walk found.
    weir.count(r"iommu: fault: device 00:05.0 of e: write of address 0x2000000: ", 1)
    weir.count(r"iommu: fault: device 00:05.0 of e: write of address 0x2400000: ", 1)
    assert len(weir.find(r"iommu:   level 1 entry 0000000000000000 \(empty\)")) == 2
    # The bystander was not affected.
    assert Guest(weir, nic, "by").settled()["io_faults"] == 0
