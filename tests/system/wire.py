"""A peer at the other end of a guest's network cable that builds its own frames: IPv6, wrong checksums, and packets
that a host's stack would never send or would repair."""
import socket
import struct

from patience import PAUSE
from weir import free_port

ICMP6, TCP, UDP = 58, 6, 17
ECHO_REQUEST, ECHO_REPLY, SOLICITATION, ADVERTISEMENT = 128, 129, 135, 136
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def link_local(mac):
    return bytes.fromhex("fe80000000000000") + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]


def ones_sum(data):
    data += b"\0" * (len(data) & 1)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


class Packet:
    """An IPv6 packet that the guest has sent."""

    def __init__(self, frame):
        length, self.protocol = struct.unpack(">HB", frame[18:21])
        self.source, self.target, self.body = frame[22:38], frame[38:54], frame[54:54 + length]
        pseudo = self.source + self.target + struct.pack(">IHBB", length, 0, 0, self.protocol)
        self.complete = len(self.body) == length
        self.checksum_good = ones_sum(pseudo + self.body) == 0xFFFF

    def ports(self):
        return struct.unpack(">HH", self.body[:4])

    def tcp(self):
        """Sequence number, acknowledgement number, flags, data."""
        sequence, acknowledged, offset, flags = struct.unpack(">IIBB", self.body[4:14])
        return sequence, acknowledged, flags, self.body[(offset >> 4) * 4:]


class Wire:
    mac = bytes.fromhex("020000000001")
    guest_mac = bytes.fromhex("525400123403")

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(PAUSE)
        self.qemu = ("127.0.0.1", free_port(socket.SOCK_DGRAM))
        self.address, self.guest = link_local(self.mac), link_local(self.guest_mac)

    def options(self, model="e1000e", slot=3):
        mac = self.guest_mac.hex(":")
        return ["-netdev",
                f"dgram,id=wire,local.type=inet,local.host=127.0.0.1,local.port={self.qemu[1]},remote.type=inet,"
                           f"remote.host=127.0.0.1,remote.port={self.socket.getsockname()[1]}",
                "-device", f"{model},id=nic,netdev=wire,addr={slot:x},romfile=,mac={mac}"]

    def send(self, protocol, body, checksum_at, wrong=False):
        pseudo = self.address + self.guest + struct.pack(">IHBB", len(body), 0, 0, protocol)
        checksum = ~ones_sum(pseudo + body) & 0xFFFF or 0xFFFF
        if wrong:
            checksum ^= 0x1234
        body = body[:checksum_at] + struct.pack(">H", checksum) + body[checksum_at + 2:]
        header = struct.pack(">IHBB", 6 << 28, len(body), protocol, 255) + self.address + self.guest
        self.socket.sendto(self.guest_mac + self.mac + b"\x86\xdd" + header + body, self.qemu)

    def send_ping(self, payload):
        self.send(ICMP6, struct.pack(">BBHHH", ECHO_REQUEST, 0, 0, 0x5745, 1) + payload, 2)

    def send_udp(self, port, payload, wrong=False):
        self.send(UDP, struct.pack(">HHHH", 4000, port, 8 + len(payload), 0) + payload, 6, wrong)

    def send_tcp(self, source, port, sequence, acknowledged, flags, payload=b"", wrong=False):
        header = struct.pack(">HHIIBBHHH", source, port, sequence, acknowledged, 0x50, flags, 65535, 0, 0)
        self.send(TCP, header + payload, 16, wrong)

    def receive(self, machine, wanted, seconds=30):
        """The next packet for which `wanted` is true; None if the machine has had the time and there is none. Answers
        the guest's neighbour solicitations."""
        deadline = machine.time() + seconds
        while machine.time() < deadline:
            try:
                frame = self.socket.recv(4096)
            except TimeoutError:
                continue
            if frame[12:14] != b"\x86\xdd":
                continue
            packet = Packet(frame)
            if packet.protocol == ICMP6 and packet.body[0] == SOLICITATION and packet.body[8:24] == self.address:
                head = struct.pack(">BBHI", ADVERTISEMENT, 0, 0, 0x60000000)
                self.send(ICMP6, head + self.address + b"\2\1" + self.mac, 2)
            elif wanted(packet):
                return packet
        return None

    def close(self):
        self.socket.close()
