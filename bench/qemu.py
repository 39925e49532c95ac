"""Controls QEMU from outside: stops it at an address in the guest, and reads how many instructions it has executed."""
import json
import pathlib
import socket
import time


def connect(path, timeout=10):
    """A socket that QEMU creates when it starts."""
    deadline = time.monotonic() + timeout
    while True:
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(str(path))
            return s
        except OSError:
            s.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


class Debugger:
    """QEMU's gdbstub, using the remote serial protocol. Connecting to it stops the machine."""

    def __init__(self, path):
        self.socket = connect(path)
        self.socket.settimeout(120)

    def send(self, command):
        self.socket.sendall(b"$%s#%02x" % (command, sum(command) & 0xff))

    def answer(self):
        while self.socket.recv(1) != b"$":
            pass
        text = b""
        while (c := self.socket.recv(1)) != b"#":
            text += c
        self.socket.recv(2)
        self.socket.sendall(b"+")
        return text

    def ask(self, command):
        self.send(command)
        return self.answer()

    def run_to(self, address):
        """Runs the machine until it fetches an instruction at this address, stops it and removes the breakpoint."""
        assert self.ask(b"Z1,%x,1" % address) == b"OK"
        assert self.ask(b"c").startswith(b"T05"), f"QEMU did not stop at {address:#x}"
        assert self.ask(b"z1,%x,1" % address) == b"OK"

    def go(self):
        self.send(b"c")


class Monitor:
    """QMP."""

    def __init__(self, path):
        self.file = connect(path).makefile("rw", encoding="utf-8")
        self.file.readline()
        self.ask("qmp_capabilities")

    def ask(self, command):
        self.file.write(json.dumps({"execute": command}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def instructions(self):
        """Instructions executed so far, without idle time; 0 without -icount."""
        return self.ask("query-replay")["icount"]


class Probe:
    """Watches a QEMU that runs with `options`; its sockets are created in `directory`."""

    def __init__(self, directory):
        self.gdb, self.qmp = (pathlib.Path(directory).resolve() / name for name in ("gdb", "qmp"))
        self.options = ["-S", "-gdb", f"unix:{self.gdb},server=on,wait=off",
                        "-qmp", f"unix:{self.qmp},server=on,wait=off"]

    def attach(self):
        """Connects. The machine has not executed an instruction yet."""
        self.debugger, self.monitor = Debugger(self.gdb), Monitor(self.qmp)
