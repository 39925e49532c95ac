"""A guest that needs no device, causes no exits, and increments a counter. The test reads from the machine's RAM how
long it was stopped."""
import struct
import threading
import time

MARK = b"weir's bystander"
LOAD = 0x100000
COUNTER = LOAD + 32 + len(MARK)


def kernel():
    """A Multiboot 1 kernel whose header gives its addresses."""
    magic, flags = 0x1BADB002, 1 << 16
    entry = COUNTER + 4
    header = struct.pack("<8I", magic, flags, -(magic + flags) & 0xFFFFFFFF, LOAD, LOAD, 0, 0, entry)
    code = b"\xff\x05" + struct.pack("<I", COUNTER) + b"\xeb\xf8"  # 1: incl COUNTER; jmp 1b
    return header + MARK + bytes(4) + code


class Watch:
    """Samples the counter. `ram` contains one copy that runs and others (GRUB's) that do not. A context manager."""

    def __init__(self, weir, ram):
        self.weir, self.ram, self.at = weir, ram, self.find(weir, ram)
        self.longest, self.rounds, self.ended = 0.0, 0, threading.Event()
        self.thread = threading.Thread(target=self.sample, daemon=True)

    @staticmethod
    def find(weir, ram):
        places, at = [], ram.find(MARK)
        while at >= 0:
            places.append(at + len(MARK))
            at = ram.find(MARK, at + 1)
        before = [ram[p:p + 4] for p in places]
        running = weir.wait_until(lambda: [p for p, was in zip(places, before) if ram[p:p + 4] != was],
                                  f"none of {len(places)} counters is running")
        return running[0]

    def sample(self):
        last, since = self.ram[self.at:self.at + 4], self.weir.time()
        while not self.ended.is_set():
            time.sleep(0.0005)
            value, now = self.ram[self.at:self.at + 4], self.weir.time()
            if value != last:
                self.rounds += (int.from_bytes(value, "little") - int.from_bytes(last, "little")) & 0xFFFFFFFF
                last, since = value, now
            self.longest = max(self.longest, now - since)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
