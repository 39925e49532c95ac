"""The device's side of vhost-user (QEMU's docs/interop/vhost-user.rst), for a device behind an IOMMU. QEMU shares the
machine's RAM and answers translation requests; each answer stays in a TLB until QEMU invalidates it."""
import array
import collections
import contextlib
import mmap
import os
import socket
import struct
import tempfile
import threading
import time

GET_FEATURES, SET_FEATURES, SET_MEM_TABLE = 1, 2, 5
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL = 8, 9, 10, 11, 12, 13
GET_PROTOCOL_FEATURES, SET_VRING_ENABLE, SET_BACKEND_REQ_FD, IOTLB_MSG = 15, 18, 21, 22
VERSION, REPLY, NEED_REPLY = 1, 4, 8
PROTOCOL_REPLY_ACK, PROTOCOL_BACKEND_REQ = 1 << 3, 1 << 5
F_PROTOCOL_FEATURES, F_VERSION_1, F_ACCESS_PLATFORM = 1 << 30, 1 << 32, 1 << 33

IOTLB_MISS, IOTLB_UPDATE, IOTLB_INVALIDATE = 1, 2, 3
IOTLB_MESSAGE = "<QQQBB6x"
READ, WRITE = 1, 2

Translation = collections.namedtuple("Translation", "iova size offset access")


class Refused(Exception):
    """The IOMMU has no translation for the device."""


class Memory:
    """The machine's RAM: one file, which QEMU maps in pieces."""

    def __init__(self):
        self.regions, self.ram = [], None

    def set(self, payload, fds):
        """SET_MEM_TABLE."""
        count, = struct.unpack_from("<I", payload)
        self.regions = [struct.unpack_from("<QQQQ", payload, 8 + 32 * i) for i in range(count)]
        if not self.ram and fds:
            self.ram = mmap.mmap(fds[0], os.fstat(fds[0]).st_size)
        for fd in fds:
            os.close(fd)

    def offset(self, user):
        """The offset in the file of one of QEMU's addresses. Below 2 GiB of RAM this is the machine address."""
        for _, size, start, offset in self.regions:
            if start <= user < start + size:
                return offset + user - start
        raise ValueError(f"QEMU's address {user:#x} is in no region")


class DeviceTlb:
    """The translations that the device holds. An access and the removal of its translation exclude each other."""

    def __init__(self, memory):
        self.memory, self.entries, self.lock = memory, [], threading.RLock()

    def find(self, iova, access):
        for e in self.entries:
            if e.iova <= iova < e.iova + e.size and e.access & access == access:
                return e
        return None

    def insert(self, entry):
        with self.lock:
            self.entries = [e for e in self.entries if e.iova != entry.iova] + [entry]

    def drop(self, first, size):
        """Drops all translations that overlap the range, and returns it."""
        with self.lock:
            lost = [e for e in self.entries if e.iova < first + size and first < e.iova + e.size]
            self.entries = [e for e in self.entries if e not in lost]
            return lost

    def flush(self):
        with self.lock:
            self.entries = []


class Invalidation:
    """An invalidation that has arrived: its content, when it came, and when it was answered."""

    def __init__(self, first, size):
        self.first, self.size, self.came, self.answered, self.lost = first, size, time.monotonic(), None, []


class VhostUser:
    """A device's connection to QEMU. Subclasses have the rings."""
    features = 0

    def __init__(self):
        self.memory = Memory()
        self.tlb = DeviceTlb(self.memory)
        self.directory = tempfile.TemporaryDirectory(prefix="weir-")
        self.path = self.directory.name + "/s"
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.channel, self.requests, self.miss_lock = None, None, threading.Lock()
        self.invalidations, self.misses, self.refused, self.error = [], 0, 0, None
        self.closing = threading.Event()
        self.acked = 0  # features
        self.handlers = {
            GET_FEATURES: lambda p, f: self.reply(GET_FEATURES, struct.pack("<Q", self.features | F_PROTOCOL_FEATURES)),
            GET_PROTOCOL_FEATURES: lambda p, f: self.reply(
                GET_PROTOCOL_FEATURES, struct.pack("<Q", PROTOCOL_REPLY_ACK | PROTOCOL_BACKEND_REQ)),
            SET_FEATURES: self.set_features,
            SET_MEM_TABLE: self.memory.set,
            SET_BACKEND_REQ_FD: self.set_requests,
            IOTLB_MSG: self.iotlb,
        }
        self.threads = [threading.Thread(target=self.guarded, args=(self.serve,), daemon=True)]

    def start(self):
        for t in self.threads:
            t.start()

    def close(self):
        self.closing.set()
        for s in (self.channel, self.requests, self.listener):
            if s:
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)
        for t in self.threads:
            t.join(5)
        self.directory.cleanup()

    def guarded(self, work):
        """Runs a thread of the device; the test reports its failures."""
        try:
            work()
        except Exception as error:  # pylint: disable=broad-except
            if not self.closing.is_set():
                self.error = error

    def check(self):
        if self.error:
            raise self.error

    def options(self):
        """QEMU's options, for a machine with 512 MiB whose RAM this device may share."""
        return ["-object", "memory-backend-memfd,id=ram,size=512M,share=on", "-machine", "memory-backend=ram",
                "-chardev", f"socket,id=vu,path={self.path}", "-netdev", "vhost-user,id=back,chardev=vu"]

    # --- messages -------------------------------------------------------------

    def serve(self):
        self.channel, _ = self.listener.accept()
        while message := self.receive():
            request, flags, payload, fds = message
            handler = self.handlers.get(request)
            answered = handler(payload, fds) if handler else None
            # A message that has a reply gets no acknowledgement.
            if flags & NEED_REPLY and answered is not True:
                self.reply(request, struct.pack("<Q", 0))

    def receive(self):
        fds = array.array("i")
        data, ancillary, _, _ = self.channel.recvmsg(12, socket.CMSG_SPACE(8 * fds.itemsize))
        for _, kind, content in ancillary:
            if kind == socket.SCM_RIGHTS:
                fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
        while data and len(data) < 12:
            data += self.channel.recv(12 - len(data))
        if not data:
            return None
        request, flags, size = struct.unpack("<III", data)
        payload = b""
        while len(payload) < size:
            piece = self.channel.recv(size - len(payload))
            if not piece:
                return None
            payload += piece
        return request, flags, payload, list(fds)

    def reply(self, request, payload):
        self.channel.sendall(struct.pack("<III", request, VERSION | REPLY, len(payload)) + payload)
        return True

    def set_features(self, payload, _):
        self.acked, = struct.unpack("<Q", payload)

    def set_requests(self, _, fds):
        self.requests = socket.socket(fileno=fds[0])

    # --- translations ---------------------------------------------------------

    def iotlb(self, payload, _):
        iova, size, user, access, kind = struct.unpack(IOTLB_MESSAGE, payload)
        if kind == IOTLB_UPDATE:
            self.tlb.insert(Translation(iova, size, self.memory.offset(user), access))
        elif kind == IOTLB_INVALIDATE:
            event = Invalidation(iova, size)
            self.invalidations.append(event)
            self.invalidate(event)
            event.answered = time.monotonic()

    def invalidate(self, event):
        """A correct device: when this returns, QEMU is told that the invalidation is complete."""
        event.lost = self.tlb.drop(event.first, event.size)

    def miss(self, iova, access):
        """Requests a translation. Raises Refused if there is none."""
        if not self.requests:
            raise Refused(f"{iova:#x}")
        with self.miss_lock:
            if self.tlb.find(iova, access):
                return
            self.misses += 1
            body = struct.pack(IOTLB_MESSAGE, iova, 0, 0, access, IOTLB_MISS)
            self.requests.sendall(struct.pack("<III", 1, VERSION | NEED_REPLY, len(body)) + body)
            answer = b""
            while len(answer) < 20:
                piece = self.requests.recv(20 - len(answer))
                if not piece:
                    raise ConnectionError("QEMU has closed the channel for requests")
                answer += piece
            if struct.unpack_from("<Q", answer, 12)[0]:
                self.refused += 1
                raise Refused(f"{iova:#x}")

    @contextlib.contextmanager
    def translated(self, iova, access):
        """The translation of an address, which cannot be removed inside the block."""
        while True:
            with self.tlb.lock:
                entry = self.tlb.find(iova, access)
                if entry:
                    yield entry
                    return
            self.miss(iova, access)

    def access(self, iova, length, access, data=None):
        """DMA. Returns what was read."""
        done = b""
        at = 0
        while at < length:
            with self.translated(iova + at, access) as e:
                n = min(length - at, e.iova + e.size - iova - at)
                where = e.offset + iova + at - e.iova
                if data is None:
                    done += self.memory.ram[where:where + n]
                else:
                    self.memory.ram[where:where + n] = data[at:at + n]
                at += n
        return done

    def dma_read(self, iova, length):
        return self.access(iova, length, READ)

    def dma_write(self, iova, data):
        self.access(iova, len(data), WRITE, data)
