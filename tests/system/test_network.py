"""The network guest owns an e1000e; all of these tests use its DMA and its remapped interrupts."""
import hashlib
import http.client
import json
import os
import random
import socket
import threading
import time
import zlib

import pytest

from patience import PAUSE, PatientSocket, http_request, patiently
from weir import Nic

MB = 1 << 20


class Guest:
    """A network guest, by its NIC's ports."""

    def __init__(self, weir, nic, name="net0"):
        self.weir, self.nic, self.name = weir, nic, name

    def request(self, method, path, body=None, seconds=300):
        try:
            return http_request(self.weir, self.nic.tcp(80), method, path, body, seconds)
        except (OSError, http.client.HTTPException) as error:
            return self.weir.fail(f"{self.name}: {method} {path}: {error!r}")

    def json(self, path):
        status, _, body = self.request("GET", path)
        if status != 200:
            self.weir.fail(f"{self.name}: GET {path}: {status} {body[:200]!r}")
        return json.loads(body)

    def stats(self):
        return self.json("/stats.json")

    def settled(self, timeout=10):
        """Returns the counters once no page is held for release."""
        def free():
            now = self.stats()["hypervisor"]
            return now if not now["pages_held"] and not now["batches_in_flight"] else None
        return self.weir.wait_until(free, f"{self.name}: pages are still held for release", timeout)


@pytest.fixture
def guests(boot):
    """guests(n, mem=...) boots n network guests, each with a NIC, and waits until they serve requests."""

    def start(n=1, guest_mem="64M", **options):
        nics = [Nic(slot=3 + i, tcp=(80, 7), udp=(7,)) for i in range(n)]
        lines = [f"/boot/net.elf kernel name=net{i} mem={guest_mem} pci=00:{3 + i:02x}.0" for i in range(n)]
        weir = boot(lines, nics=nics, **options)
        weir.wait_ready()
        for i in range(n):
            weir.wait_for(rf"net{i}\| net: serving http", 40)
        return [Guest(weir, nic, f"net{i}") for i, nic in enumerate(nics)]

    return start


def random_bytes(size):
    seed = int(os.environ.get("SEED", time.time_ns() & 0xffffffff))
    print(f"SEED={seed}")
    return random.Random(seed).randbytes(size)


def echo_tcp(guest, data):
    """What TCP port 7 echoes for `data`."""
    back = bytearray()
    with PatientSocket(guest.weir, guest.nic.tcp(7), 300) as s:
        def send():
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        sender = threading.Thread(target=send)
        sender.start()
        try:
            while piece := s.recv(65536):
                back += piece
        except OSError as error:
            guest.weir.fail(f"{guest.name}: the echo broke off after {len(back)} of {len(data)} bytes: {error!r}")
        finally:
            sender.join(5)
    return bytes(back)


def same(guest, what, got, wanted):
    if hashlib.sha256(got).digest() != hashlib.sha256(wanted).digest():
        first = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
        guest.weir.fail(f"{guest.name}: {what}: received {len(got)} of {len(wanted)} bytes, "
                        f"the first difference is at {first}")


@pytest.mark.parametrize("smp", [1, 2])
def test_the_page_and_the_counters_are_served(guests, smp):
    [guest] = guests(smp=smp)
    status, kind, page = guest.request("GET", "/")
    assert (status, kind.split(";")[0]) == (200, "text/html") and b"Weir" in page
    assert guest.request("GET", "/nothing")[0] == 404
    stats = guest.stats()
    net, weir = stats["network"], stats["hypervisor"]
    assert net["interrupt_kind"] == "MSI-X" and net["interrupts"] > 0, stats
    assert net["rx_packets"] > 0 and net["tx_packets"] > 0 and net["rx_copied"] == 0, stats
    # The device can reach all of the guest's memory, and each entry holds a reference.
    entries = weir["io_entries"]
    mapped = entries["4k"] + 512 * entries["2m"] + 512 * 512 * entries["1g"]
    assert mapped == weir["pages_owned"] == 64 * MB // 4096, stats
    assert weir["io_references"] == sum(entries.values()) and weir["io_faults"] == 0, stats
    later = guest.stats()
    # The guest asks Weir before it reads its own counters, so the next answer counts all interrupts of this one.
    assert later["hypervisor"]["interrupts_delivered"] >= net["interrupts"], (stats, later)
    assert later["network"]["rx_packets"] > net["rx_packets"] and later["uptime_ns"] > stats["uptime_ns"], later


def test_tcp_and_udp_are_echoed(guests):
    [guest] = guests(smp=2)
    data = random_bytes(4 * MB)
    same(guest, "TCP echo", echo_tcp(guest, data), data)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", guest.nic.udp(7)))
        s.settimeout(PAUSE)
        for size in (0, 1, 17, 512, 1400):
            # Datagrams may be lost, but not five in a row.
            for _ in range(5):
                s.send(data[:size])
                try:
                    same(guest, "UDP echo", patiently(guest.weir, 2, s.recv, 65536), data[:size])
                    break
                except TimeoutError:
                    continue
            else:
                guest.weir.fail(f"no UDP echo of {size} bytes")


@pytest.mark.parametrize("smp", [1, 2])
def test_fifty_megabytes_arrive_each_way(guests, blob, smp):
    [guest] = guests(smp=smp)
    status, _, body = guest.request("GET", "/blob?mb=50&seed=77", seconds=120)
    assert status == 200 and len(body) == 50 * MB
    assert hashlib.sha256(body).hexdigest() == blob(77, 50 * MB)
    data = random_bytes(50 * MB)
    status, _, answer = guest.request("POST", "/sink", data, seconds=120)
    assert status == 200 and json.loads(answer) == {"bytes": len(data), "crc32": zlib.crc32(data)}
    weir = guest.stats()["hypervisor"]
    assert weir["io_faults"] == 0 and not guest.weir.find("iommu: fault"), weir
    # A busy NIC does not cause an interrupt storm.
    assert weir["interrupt_pauses"] == 0, weir


def test_a_peer_that_has_sent_its_fin_is_answered(guests):
    """The peer's FIN comes with its last bytes or right after them, and the answer must still arrive."""
    [guest] = guests(smp=2)
    for size in range(100_000, 400_000, 10_000):
        data = bytes(size)
        with PatientSocket(guest.weir, guest.nic.tcp(80), 20) as s:
            s.sendall(b"POST /sink HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % size + data)
            s.shutdown(socket.SHUT_WR)
            try:
                answer = b"".join(iter(lambda: s.recv(4096), b""))  # pylint: disable=cell-var-from-loop
            except OSError as error:
                guest.weir.fail(f"{size} bytes: {error!r}")
        assert json.loads(answer.split(b"\r\n\r\n")[1]) == {"bytes": size, "crc32": zlib.crc32(data)}


def test_two_guests_have_a_device_each(guests):
    both = guests(2, smp=2)
    data = random_bytes(2 * MB)
    back = {}
    threads = [threading.Thread(target=lambda g=g: back.update({g.name: echo_tcp(g, data)})) for g in both]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for guest in both:
        same(guest, "TCP echo", back.get(guest.name, b""), data)
        assert guest.stats()["hypervisor"]["domain_name"] == guest.name


def test_memory_above_4g_is_reached_by_dma(guests, blob):
    # The machine has 2 GiB below 4 GiB, so some of this guest's memory is above.
    [guest] = guests(mem="5G", guest_mem="2304M")
    status, _, body = guest.request("GET", "/blob?mb=10&seed=5")
    assert status == 200 and hashlib.sha256(body).hexdigest() == blob(5, 10 * MB)
    data = random_bytes(10 * MB)
    assert json.loads(guest.request("POST", "/sink", data)[2]) == {"bytes": len(data), "crc32": zlib.crc32(data)}


@pytest.mark.parametrize("smp", [1, 2])
def test_release_and_populate_under_traffic(guests, blob, smp):
    [guest] = guests(smp=smp)
    before = guest.settled()
    body = {}
    traffic = threading.Thread(
        target=lambda: body.update(got=guest.request("GET", "/blob?mb=40&seed=9", seconds=120)[2]))
    traffic.start()
    rounds, released = 0, 0
    while rounds < 4 or (traffic.is_alive() and rounds < 40):
        result = guest.json(f"/release?mb={1 + rounds % 8}")
        assert result["error"] == 0 and result["zeroed"], result
        assert result["released_pages"] == result["populated_pages"] == (1 + rounds % 8) * 256, result
        released += result["released_pages"]
        rounds += 1
    traffic.join()
    assert hashlib.sha256(body.get("got", b"")).hexdigest() == blob(9, 40 * MB), "the traffic was damaged"
    after = guest.settled()
    assert after["pages_owned"] == before["pages_owned"], (before, after)
    # No page was released before the IOMMU answered: each batch was posted, and an interrupt completed it.
    assert after["batches_completed"] - before["batches_completed"] >= rounds, after
    assert after["batches_completed"] == after["batches_posted"], after
    assert after["invalidations_completed"] == after["invalidations_posted"] > before["invalidations_posted"], after
    assert after["completion_interrupts"] > before["completion_interrupts"], after
    assert after["pages_held_max"] > 0, after
    assert sum(after["latency"]) >= rounds, after
    entries = after["io_entries"]
    assert entries["4k"] + 512 * entries["2m"] + 512 * 512 * entries["1g"] == after["pages_owned"], after
    assert after["io_references"] == sum(entries.values()) and after["io_faults"] == 0, after
