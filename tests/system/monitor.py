"""QEMU's monitor, and the diagnosis of a machine that hangs."""
import bisect
import re
import socket
import subprocess

STACK_WORDS = 96
# The address at which Weir is linked.
IMAGE = range(0xFFFFFFFF80000000, 0xFFFFFFFF80400000)


class Monitor:
    """Create it before the machine boots, and pass that `options`."""

    def __init__(self, path):
        self.path, self.options = path, ["-monitor", f"unix:{path},server=on,wait=off"]

    def ask(self, command):
        """Executes a command and returns the monitor's answer."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(str(self.path))
            answer = b""
            for text in ("", command + "\n"):
                s.sendall(text.encode())
                start = len(answer)
                while not answer.endswith(b"(qemu) ") or len(answer) == start:
                    answer += s.recv(65536)
            return answer[start:].decode(errors="replace")


def symbols_of(image):
    """(address, type, name) of Weir's symbols, sorted by address. The image that boots is stripped; they are in the
    file next to it."""
    listed = subprocess.run(["nm", "-n", image.parents[1] / "weir.elf"], capture_output=True, text=True,
                            check=True).stdout
    rows = map(str.split, listed.splitlines())
    return [(int(address[0], 16), kind, name) for *address, kind, name in rows if address]


class Symbols:
    def __init__(self, image):
        self.known = symbols_of(image)

    def function(self, address):
        """Weir's function at this address, and the offset in it; None if there is none."""
        at = bisect.bisect(self.known, (address, "~")) - 1
        if address not in IMAGE or at < 0 or self.known[at][1] not in "tT":
            return None
        return f"{self.known[at][2]}+{address - self.known[at][0]:#x}"


def where_cpus_are(monitor, image):
    """One line for each CPU: its instruction and, if it is in Weir, the calls on its stack. Some of these may have
    returned already."""
    symbols, lines = Symbols(image), []
    monitor.ask("stop")
    for registers in re.split(r"CPU#", monitor.ask("info registers -a"))[1:]:
        rip, rsp = (int(re.search(rf"[ER]{name}=([0-9a-f]+)", registers)[1], 16) for name in ("IP", "SP"))
        halted = " halted" if "HLT=1" in registers else ""
        line = f"CPU {registers.split()[0]}: {symbols.function(rip) or hex(rip)}{halted}"
        if symbols.function(rip):
            monitor.ask(f"cpu {registers.split()[0]}")
            words = re.findall(r"0x([0-9a-f]{16})", monitor.ask(f"x /{STACK_WORDS}gx {rsp:#x}"))
            line += "".join(f" < {caller}" for caller in (symbols.function(int(w, 16)) for w in words) if caller)
        lines.append(line)
    monitor.ask("cont")
    return "\n".join(lines)
