"""A network device with its own TLB. The test decides how it answers invalidations: correctly, slowly, never, or
falsely. It can also write a counter through the translations it holds, and request more than it needs."""
import collections
import os
import random
import select
import socket
import struct
import threading
import time

from vhost_user import (F_ACCESS_PLATFORM, F_VERSION_1, GET_VRING_BASE, SET_VRING_ADDR, SET_VRING_BASE, SET_VRING_CALL,
                        SET_VRING_ENABLE, SET_VRING_KICK, SET_VRING_NUM, WRITE, Refused, VhostUser)
from weir import free_port
from wire import TCP, UDP, ones_sum

PAGE = 4096
RX, TX = 0, 1
F_CSUM, F_GUEST_CSUM = 1 << 0, 1 << 1
HEADER = struct.Struct("<BBHHHHH")  # virtio_net_hdr
NEEDS_CSUM, DATA_VALID = 1, 2
DESC = struct.Struct("<QIHH")
DESC_NEXT, DESC_WRITE = 1, 2
NO_INTERRUPT = 1
MAX_FRAME = 2048

# The writer leaves this in a page, with a number that grows in every round.
MARK = 0x5745495257524954
STAMP = struct.Struct("<QQ")
ROUND = 0.005  # seconds
ROUNDS_PER_QUESTION = 4


def checksum_good(frame):
    """True if it is an unfragmented TCP or UDP packet with a correct checksum."""
    kind, ip = frame[12:14], frame[14:]
    if kind == b"\x08\x00" and len(ip) >= 20 and not int.from_bytes(ip[6:8], "big") & 0x3FFF:
        at, protocol, addresses = (ip[0] & 15) * 4, ip[9], ip[12:20]
        body = ip[at:int.from_bytes(ip[2:4], "big")]
    elif kind == b"\x86\xdd" and len(ip) >= 40:
        protocol, addresses = ip[6], ip[8:40]
        body = ip[40:40 + int.from_bytes(ip[4:6], "big")]
    else:
        return False
    pseudo = addresses + struct.pack(">HH", protocol, len(body))
    return protocol in (TCP, UDP) and ones_sum(pseudo + body) == 0xFFFF


class Ring:
    """The device's side of a split virtqueue. All accesses are by DMA."""

    def __init__(self, device):
        self.device = device
        self.size = self.desc = self.avail = self.used = self.next = 0
        self.kick = self.call = None
        self.enabled = False

    def running(self):
        return self.enabled and self.kick is not None and self.size

    def take(self):
        """The head of the next chain that the driver offers, and its buffers as (address, length, writable). None:
        there is none."""
        read = self.device.dma_read
        if struct.unpack("<H", read(self.avail + 2, 2))[0] == self.next:
            return None
        head, = struct.unpack("<H", read(self.avail + 4 + 2 * (self.next % self.size), 2))
        buffers, at, flags = [], head, DESC_NEXT
        while flags & DESC_NEXT:
            if at >= self.size or len(buffers) == self.size:
                raise ValueError(f"descriptor {at} of {self.size}, the {len(buffers)}th of its chain")
            address, length, flags, following = DESC.unpack(read(self.desc + DESC.size * at, DESC.size))
            buffers.append((address, length, bool(flags & DESC_WRITE)))
            at = following
        self.next = (self.next + 1) & 0xFFFF
        return head, buffers

    def give_back(self, head, written):
        read, write = self.device.dma_read, self.device.dma_write
        index, = struct.unpack("<H", read(self.used + 2, 2))
        write(self.used + 4 + 8 * (index % self.size), struct.pack("<II", head, written))
        write(self.used + 2, struct.pack("<H", (index + 1) & 0xFFFF))
        if self.call is not None and not struct.unpack("<H", read(self.avail, 2))[0] & NO_INTERRUPT:
            os.eventfd_write(self.call, 1)


class Nic(VhostUser):
    """Moves frames between the rings and a datagram socket, using only its own TLB."""
    features = F_VERSION_1 | F_ACCESS_PLATFORM | F_CSUM | F_GUEST_CSUM

    def __init__(self):
        super().__init__()
        self.rings = [Ring(self), Ring(self)]
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.peer = ("127.0.0.1", free_port(socket.SOCK_DGRAM))
        self.wire = None
        self.waiting = collections.deque(maxlen=256)  # frames for which the driver has no buffer
        self.dropped, self.vouched, self.completed = 0, 0, 0
        self.handlers.update({
            SET_VRING_NUM: self.set_number, SET_VRING_ADDR: self.set_addresses, SET_VRING_BASE: self.set_base,
            GET_VRING_BASE: self.stop, SET_VRING_KICK: self.set_kick, SET_VRING_CALL: self.set_call,
            SET_VRING_ENABLE: self.set_enable,
        })
        self.threads.append(threading.Thread(target=self.guarded, args=(self.move,), daemon=True))

    def options(self):
        """QEMU's options. The other end of the cable is QEMU's user network `user`, through a hub; or a Wire, see
        plug()."""
        if self.wire:
            return super().options()
        local, remote = self.peer, self.socket.getsockname()
        return [*super().options(),
                "-netdev", "hubport,id=hub0,hubid=0,netdev=user",
                "-netdev",
                f"dgram,id=cable,local.type=inet,local.host={local[0]},local.port={local[1]},remote.type=inet,"
                           f"remote.host={remote[0]},remote.port={remote[1]}",
                "-netdev", "hubport,id=hub1,hubid=0,netdev=cable"]

    def plug(self, wire):
        """Connects it to a Wire."""
        self.wire = wire
        self.peer, wire.qemu = wire.socket.getsockname(), self.socket.getsockname()

    def close(self):
        super().close()
        self.socket.close()

    # --- vhost-user: the rings ------------------------------------------------

    def set_number(self, payload, _):
        index, size = struct.unpack("<II", payload)
        self.rings[index].size = size

    def set_addresses(self, payload, _):
        index, _, desc, used, avail, _ = struct.unpack("<IIQQQQ", payload)
        ring = self.rings[index]
        ring.desc, ring.avail, ring.used = desc, avail, used

    def set_base(self, payload, _):
        index, base = struct.unpack("<II", payload)
        self.rings[index].next = base

    def stop(self, payload, _):
        index, _ = struct.unpack("<II", payload)
        ring = self.rings[index]
        ring.enabled = False  # frames in progress may wait for QEMU, which waits for this answer
        if not any(r.enabled for r in self.rings):
            self.tlb.flush()  # like a reset
        return self.reply(GET_VRING_BASE, struct.pack("<II", index, ring.next))

    def set_kick(self, payload, fds):
        self.rings[payload[0]].kick = fds[0] if fds else None

    def set_call(self, payload, fds):
        self.rings[payload[0]].call = fds[0] if fds else None

    def set_enable(self, payload, _):
        index, on = struct.unpack("<II", payload)
        self.rings[index].enabled = bool(on)

    # --- frames ---------------------------------------------------------------

    def move(self):
        while not self.closing.is_set():
            kicks = [r.kick for r in self.rings if r.running()]
            ready, _, _ = select.select([self.socket, *kicks], [], [], 0.05)
            for fd in kicks:
                if fd in ready:
                    os.eventfd_read(fd)
            if self.socket in ready:
                self.waiting.append(self.socket.recv(MAX_FRAME))
            try:
                self.receive_frames()
                self.transmit_frames()
            except Refused:
                # The driver is not notified: its ring is not, or no longer, where it said.
                self.dropped += 1

    def transmit_frames(self):
        ring = self.rings[TX]
        while ring.running() and (taken := ring.take()):
            head, buffers = taken
            data = b"".join(self.dma_read(address, length) for address, length, _ in buffers)
            ring.give_back(head, 0)
            self.socket.sendto(self.complete(data), self.peer)

    def complete(self, data):
        """The frame, with the checksum that the driver left to the device."""
        flags, _, _, _, start, offset, _ = HEADER.unpack_from(data)
        frame = bytearray(data[HEADER.size:])
        if flags & NEEDS_CSUM:
            self.completed += 1
            checksum = ~ones_sum(bytes(frame[start:])) & 0xFFFF or 0xFFFF
            frame[start + offset:start + offset + 2] = struct.pack(">H", checksum)
        return frame

    def receive_frames(self):
        ring = self.rings[RX]
        while self.waiting and ring.running() and (taken := ring.take()):
            head, [(address, length, _)] = taken
            frame = self.waiting.popleft()
            flags = DATA_VALID if self.acked & F_GUEST_CSUM and checksum_good(frame) else 0
            data = HEADER.pack(flags, 0, 0, 0, 0, 0, 1) + frame
            self.vouched += bool(flags)
            if len(data) <= length:
                self.dma_write(address, data)
            ring.give_back(head, len(data) if len(data) <= length else 0)


class Device(Nic):
    """The network device, with options for misbehaviour. `delay`: seconds until it answers an invalidation; `liar`: it
    keeps the translations that it claims to have dropped."""

    def __init__(self):
        super().__init__()
        self.delay, self.liar = 0.0, False
        self.before_answer = None  # called with each Invalidation when it arrives
        self.released = threading.Event()  # ends a delay
        self.targets, self.refetch = [], False
        self.count = 0  # rounds that the writer has completed
        self.random = random.Random(1)
        self.threads.append(threading.Thread(target=self.guarded, args=(self.write,), daemon=True))

    def invalidate(self, event):
        if self.delay:
            self.released.wait(self.delay)
        if self.before_answer:
            self.before_answer(event)
        if not self.liar:
            super().invalidate(event)

    def close(self):
        self.released.set()
        super().close()

    def aim(self, targets, refetch=False):
        """Requests translations of these pages and writes to each page repeatedly while the TLB holds it. With
        `refetch`, it requests lost translations again."""
        for iova in targets:
            self.miss(iova, WRITE)
        self.refetch, self.targets = refetch, list(targets)

    def held(self):
        """The targets that the TLB holds, with their addresses in the machine's RAM."""
        with self.tlb.lock:
            found = {iova: self.tlb.find(iova, WRITE) for iova in self.targets}
            return {iova: e.offset + iova - e.iova for iova, e in found.items() if e}

    def write(self):
        while not self.closing.is_set():
            time.sleep(ROUND)
            with self.tlb.lock:
                self.count += 1
                for offset in self.held().values():
                    self.memory.ram[offset:offset + STAMP.size] = STAMP.pack(MARK, self.count)
            if self.refetch and self.count % ROUNDS_PER_QUESTION == 0:
                self.ask_again()

    def wait_rounds(self, wanted):
        """Waits until the writer has completed this many further rounds. Returns the number of the last round
        before."""
        before = self.count
        while self.count < before + wanted + 2:  # the first and the last round may be incomplete
            if self.error or not all(thread.is_alive() for thread in self.threads):
                raise AssertionError(f"the writer is stuck after {self.count - before} rounds, {self.error!r}")
            time.sleep(ROUND)
        return before

    def ask_again(self):
        """Requests a lost translation again. Each refusal is a fault that Weir reports."""
        held = self.held()
        lost = [iova for iova in self.targets if iova not in held]
        if lost:
            try:
                self.miss(self.random.choice(lost), WRITE)
            except Refused:
                pass

    def stamp(self, offset):
        """The number that the writer left in the page at this offset in the RAM; 0 if there is none."""
        mark, count = STAMP.unpack_from(self.memory.ram, offset)
        return count if mark == MARK else 0
