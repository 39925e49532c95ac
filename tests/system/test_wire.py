"""The network guest seen from the other end of the cable: IPv6, checksums that the device generates and verifies, the
link, MSI."""
import contextlib
import os

import pytest

from device_tlb import Device
from native import Native
from patience import http_request
from weir import BUILD, GUESTS, AtsNic, Nic
from wire import ACK, ECHO_REPLY, FIN, ICMP6, PSH, SYN, TCP, UDP, Wire


@pytest.fixture
def wire():
    with contextlib.closing(Wire()) as w:
        yield w


def directory(request):
    return BUILD / "tests/system" / request.node.name.replace("[", "_").replace("]", "")


def without_multiboot(tmp_path):
    """The guest with an invalid Multiboot signature: only the PVH entry is left."""
    image = bytearray((GUESTS / "net.elf").read_bytes())
    at = image.index(bytes.fromhex("02b0ad1b"))
    image[at] ^= 0xFF
    path = tmp_path / "pvh.elf"
    path.write_bytes(image)
    return path


def wait_ping(machine, wire):
    """Waits for an answer: the guest uses its link-local address only some seconds after its start (duplicate address
    detection)."""
    payload = os.urandom(56)
    for _ in range(20):
        wire.send_ping(payload)
        answer = wire.receive(machine, lambda p: p.protocol == ICMP6 and p.body[0] == ECHO_REPLY, 1)
        if answer:
            if not answer.checksum_good or answer.body[8:] != payload:
                machine.fail(f"the ping reply is wrong: {answer.body.hex()}")
            return
    machine.fail("no answer to pings over IPv6")


def fetch(machine, wire, path, source=4100):
    """GET over TCP and IPv6, implemented in the test."""
    wire.send_tcp(source, 80, 1000, 0, SYN)
    answer = wire.receive(machine, lambda p: p.protocol == TCP and p.ports() == (80, source))
    if not answer or answer.tcp()[2] != SYN | ACK:
        machine.fail("no SYN and ACK over IPv6")
    expected = (answer.tcp()[0] + 1) & 0xFFFFFFFF
    request = f"GET {path} HTTP/1.0\r\n\r\n".encode()
    wire.send_tcp(source, 80, 1001, expected, PSH | ACK, request)
    data = b""
    while True:
        if not answer.checksum_good or not answer.complete:
            machine.fail(f"a segment with a wrong checksum: {answer.body.hex()}")
        answer = wire.receive(machine, lambda p: p.protocol == TCP and p.ports() == (80, source))
        if not answer:
            machine.fail(f"the stream ended after {len(data)} bytes without FIN")
        sequence, _, flags, payload = answer.tcp()
        if sequence == expected:
            data, expected = data + payload, (expected + len(payload) + (flags & FIN)) & 0xFFFFFFFF
        if payload or flags & FIN:
            wire.send_tcp(source, 80, 1001 + len(request), expected, ACK | (flags & FIN))
        if flags & FIN and sequence + len(payload) + 1 & 0xFFFFFFFF == expected:
            return data


def check_ipv6(machine, wire):
    wait_ping(machine, wire)
    head, _, body = fetch(machine, wire, "/stats.json").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") and body.startswith(b"{")
    assert b"<title>Weir" in fetch(machine, wire, "/", 4101)  # many segments

    wire.send_udp(7, b"echo over IPv6")
    answer = wire.receive(machine, lambda p: p.protocol == UDP)
    if not answer or not answer.checksum_good or answer.body[8:] != b"echo over IPv6":
        machine.fail("UDP did not come back over IPv6")
    wire.send_udp(7, b"damaged", wrong=True)
    wire.send_tcp(4102, 80, 1000, 0, SYN, wrong=True)
    answer = wire.receive(machine, lambda p: p.protocol in (UDP, TCP), 2)
    if answer:
        machine.fail(f"a packet with a wrong checksum was answered: {answer.body.hex()}")


VIRTIO = "virtio-net-pci,disable-legacy=on,iommu_platform=on"
both_models = pytest.mark.parametrize("model", ["e1000e", pytest.param(VIRTIO, id="virtio-net")])


@both_models
def test_ipv6_and_checksums_work_in_a_domain(boot, wire, model):
    weir = boot(["/boot/net.elf kernel name=net0 mem=64M pci=00:03.0 -- ip=10.0.2.15"], qemu=wire.options(model))
    weir.wait_for(r"net0\| net: serving http", 40)
    check_ipv6(weir, wire)


def test_ipv6_and_checksums_work_by_virtio(boot, wire):
    """The device generates the checksums that are left to it, and vouches for received ones that are correct."""
    with contextlib.closing(Device()) as device:
        device.plug(wire)
        device.start()
        weir = boot(["/boot/net.elf kernel name=net0 mem=64M pci=01:00.0 -- ip=10.0.2.15"],
                    qemu=AtsNic(backend=device.options()).options())
        weir.wait_for(r"net0\| net: serving http", 40)
        check_ipv6(weir, wire)
        assert device.completed > 5 and device.vouched > 5
        device.check()


@both_models
def test_ipv6_and_checksums_work_natively(request, wire, model):
    with Native(directory(request), GUESTS / "net.elf", "ip=10.0.2.15", qemu=wire.options(model)) as machine:
        machine.wait_for("net: serving http")
        check_ipv6(machine, wire)


@pytest.mark.parametrize("protocol", ["Multiboot", "PVH"])
def test_the_guest_boots_natively(request, tmp_path, protocol):
    elf = GUESTS / "net.elf" if protocol == "Multiboot" else without_multiboot(tmp_path)
    nic = Nic()
    with Native(directory(request), elf, "exit=4", nics=[nic]) as machine:
        machine.wait_for(f"runtime: started by {protocol}")
        machine.wait_for("runtime: not running under Weir")
        machine.wait_for("net: serving http")
        assert b'"hypervisor":null' in http_request(machine, nic.tcp(), "GET", "/stats.json")[2]
        assert machine.wait_exit(10) == 0


@pytest.mark.parametrize("model, name, interrupts", [
    pytest.param("e1000e", "82574L", "MSI", id="MSI"),
    pytest.param("e1000e", "82574L", "MSI-X", id="MSI-X"),
    pytest.param(VIRTIO, "virtio-net", "MSI-X", id="virtio-net"),
])
def test_every_change_of_the_link_is_seen(boot, model, name, interrupts):
    wanted = "interrupts=msi" if interrupts == "MSI" else ""
    nic = Nic(model=model)
    options = nic.options()
    options[-1] += ",id=nic"
    weir = boot([f"/boot/net.elf kernel name=net0 mem=64M pci=00:03.0 -- {wanted}"], qemu=options)
    weir.wait_for(rf"net0\| net: {name} at 00:03.0, {interrupts},")
    weir.wait_for(r"net0\| net: serving http", 40)
    for change in range(3):
        for state, word in (("off", "down"), ("on", "up")):
            weir.monitor.ask(f"set_link nic {state}")
            seen = change + 1 + (word == "up")  # it is up initially
            weir.wait_until(lambda: len(weir.find(rf"net0\| .*: link {word}")) >= seen,  # pylint: disable=W0640
                            f"the guest does not see the link {word}")
            weir.count(rf"net0\| .*: link {word}", seen)
    assert b'"domain_name":"net0"' in http_request(weir, nic.tcp(), "GET", "/stats.json")[2]
