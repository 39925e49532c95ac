"""Firmware tables that the test machine's BIOS does not have, for GRUB's command `acpi`: DMAR (VT-d, chapter 8), and
MCFG (PCI Firmware Specification, 4.1.2)."""
import struct

INTERRUPTS_ARE_REMAPPED = 1
INCLUDE_PCI_ALL = 1
ALL_PORTS = 1
DRHD, RMRR, ATSR = 0, 1, 2
ENDPOINT, IOAPIC = 1, 3
# Where the tests' DMAR says that the I/O APIC's requests come from.
IOAPIC_BUS = 0xFF


def table(signature, revision, body):
    """With the header that all tables have."""
    header = struct.pack("<4sIBB6s8sI4sI", signature, 36 + len(body), revision, 0, b"WEIR", b"TEST", 1, b"WEIR", 1)
    whole = bytearray(header + body)
    whole[9] = -sum(whole) & 0xFF
    return bytes(whole)


def endpoint(address):
    """The scope of a function, "00:05.0"."""
    bus, device, function = (int(part, 16) for part in address.replace(".", ":").split(":"))
    return struct.pack("<BBHBBBB", ENDPOINT, 8, 0, 0, bus, device, function)


def ioapic(number):
    return struct.pack("<BBHBBBB", IOAPIC, 8, 0, number, IOAPIC_BUS, 0, 0)


def drhd(base, scopes, include_all=False):
    """A remapping unit, whose registers are at `base`."""
    body = b"".join(scopes)
    return struct.pack("<HHBBHQ", DRHD, 16 + len(body), INCLUDE_PCI_ALL if include_all else 0, 0, 0, base) + body


def rmrr(first, last, scopes):
    """Memory that these devices use by themselves."""
    body = b"".join(scopes)
    return struct.pack("<HHHHQQ", RMRR, 24 + len(body), 0, 0, first, last) + body


def atsr():
    """Devices may use ATS, whichever port they are behind."""
    return struct.pack("<HHBBH", ATSR, 8, ALL_PORTS, 0, 0)


def dmar(structures, width=40):
    return table(b"DMAR", 1, struct.pack("<BB10x", width - 1, INTERRUPTS_ARE_REMAPPED) + b"".join(structures))


def mcfg(base, last_bus=0xFF):
    return table(b"MCFG", 1, struct.pack("<8xQHBB4x", base, 0, 0, last_bus))
