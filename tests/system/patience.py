"""Waiting for what a machine under test sends. The waits end by the machine's clock (machineclock.py), as those for its
log do. `machine`: a Weir."""
import http.client
import socket

# How often the clock is read meanwhile, in seconds: the time-out of the sockets.
PAUSE = 0.5


def patiently(machine, seconds, operation, *arguments):
    """Repeats an operation of a socket that times out after PAUSE. TimeoutError: the machine has had the time."""
    deadline = machine.time() + seconds
    while True:
        try:
            return operation(*arguments)
        except TimeoutError:
            if machine.time() >= deadline:
                raise


class PatientSocket(socket.socket):
    """A TCP connection to a port that QEMU forwards to a guest. Each transfer may take so many seconds."""

    def __init__(self, machine, port, seconds):
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.machine, self.seconds = machine, seconds
        try:
            self.connect(("127.0.0.1", port))  # QEMU accepts by itself
        except OSError:
            self.close()
            raise
        self.settimeout(PAUSE)

    def recv(self, *arguments):
        return patiently(self.machine, self.seconds, super().recv, *arguments)

    def recv_into(self, *arguments):
        return patiently(self.machine, self.seconds, super().recv_into, *arguments)

    def send(self, *arguments):
        return patiently(self.machine, self.seconds, super().send, *arguments)

    def sendall(self, data, *arguments):
        left = memoryview(data)
        while left:
            left = left[self.send(left, *arguments):]


class PatientConnection(http.client.HTTPConnection):
    def __init__(self, machine, port, seconds):
        super().__init__("127.0.0.1", port)
        self.machine, self.seconds = machine, seconds

    def connect(self):
        self.sock = PatientSocket(self.machine, self.port, self.seconds)


def http_request(machine, port, method, path, body=None, seconds=300):
    """Returns the status, the type and the body of the answer. OSError, HTTPException: there is none."""
    connection = PatientConnection(machine, port, seconds)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type") or "", answer.read()
    finally:
        connection.close()
