"""A device that its guest programs to reach for what is not its own: nothing moves, each attempt is told readably, and the
guest's own DMA goes on. Without translation the writes would land in Weir's tables or in another guest."""
from weir import BUILD, IDLE


def test_forbidden_dma_is_blocked_and_told(boot):
    weir = boot(["/boot/cpu.elf kernel name=e mem=64M pci=00:05.0 -- dma", "/boot/net.elf kernel name=by mem=64M -- exit=12"],
                files=[BUILD / "tests/guests/cpu.elf"], mem="1G", smp=2, cmdline="exit=idle",
                qemu=["-device", "edu,addr=5,dma_mask=0xffffffffffffffff"])
    assert weir.wait_exit(60) == IDLE
    weir.count(r"e\| FAIL", 0)
    weir.count(r"e\| \d+ passed, 0 failed", 1)
    for address in ("0x4000000", "0x10000000", "0x1f000000", "0xb0000000", "0xfed90000", "0x7ffffff000"):
        weir.count(rf"iommu: fault: device 00:05.0 of e: write of address {address}: the page may not be written", 1)
        weir.count(rf"iommu: fault: device 00:05.0 of e: read of address {address}: the page may not be read", 1)
    # The page that was given back, and the entries that the walk met.
    weir.count(r"iommu: fault: device 00:05.0 of e: write of address 0x2000000: ", 1)
    assert len(weir.find(r"iommu:   level 1 entry 0000000000000000 \(empty\)")) == 1
    # The bystander has noticed nothing.
    weir.count(r"domain by: powered off, status 0", 1)
