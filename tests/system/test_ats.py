"""A device with a TLB of its own (PCIe ATS): what Weir takes back, the device must have forgotten first."""
import hashlib
import json
import zlib

from test_network import MB, Guest, blob, random_bytes  # pylint: disable=unused-import  (blob is a fixture)
from weir import AtsNic

CONTROL = "/boot/control.elf kernel name=control mem=16M control"
NET0 = "/boot/net.elf kernel name=net0 mem=64M pci=01:00.0,ats"


def test_virtio_net_behind_a_root_port(boot, blob):
    """QEMU's own device, as NIC=virtio-ats has it: traffic both ways while memory is given back, and the way to free and back."""
    nic = AtsNic()
    weir = boot([CONTROL, NET0], smp=2, nics=[nic])
    weir.wait_ready()
    weir.wait_for(r"domain net0: device 01:00.0 \(1af4:1041\).*, ATS$")
    weir.wait_for(r"net0\| net: serving http", 40)
    guest = Guest(weir, nic)
    before = guest.stats()["hypervisor"]
    status, _, body = guest.request("GET", "/blob?mb=20&seed=77")
    assert status == 200 and hashlib.sha256(body).hexdigest() == blob(77, 20 * MB)
    data = random_bytes(20 * MB)
    assert json.loads(guest.request("POST", "/sink", data)[2]) == {"bytes": len(data), "crc32": zlib.crc32(data)}
    result = guest.json("/release?mb=8")
    assert result["error"] == 0 and result["zeroed"] and result["released_pages"] == result["populated_pages"] == 2048, result
    after = guest.settled()
    assert after["device_tlb_invalidations"] > before["device_tlb_invalidations"], after
    assert after["invalidations_completed"] == after["invalidations_posted"] and after["io_faults"] == 0, after

    weir.command("detach 01:00.0")
    weir.wait_for(r"net0\| net: virtio-net at 00:01.0 is gone")
    weir.command("attach 01:00.0 net0 ats")
    weir.wait_for(r"domain net0: device 01:00.0 .*, ATS$")
    status, _, body = guest.request("GET", "/blob?mb=2&seed=78")
    assert status == 200 and hashlib.sha256(body).hexdigest() == blob(78, 2 * MB)
    assert guest.stats()["hypervisor"]["io_faults"] == 0
