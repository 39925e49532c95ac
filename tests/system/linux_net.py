"""A Linux guest at work on a network: the words of its script, and the host's end of what it moves."""
import hashlib
import itertools
import random
import socketserver
import threading

# A line of the kernel's log is not torn apart by another; this word lifts the kernel's limit of them.
COMMAND_LINE = "console=ttyS0 panic=-1 printk.devkmsg=on"

# load NAME...: insert modules. lease INTERFACE: address and route by DHCP. fetch LABEL PORT, send LABEL PORT: move
# /data, and say what it was. pinged INTERFACE ADDRESS: ping. irqs NAME: the numbers of the interrupts of this name.
# taken CPU NAME: how many of them it took.
SCRIPT = """
say() { echo "init: $*" >/dev/kmsg; }
load() { for module in "$@"; do insmod /bin/$module.ko || say "$module does not load"; done; }
cat >/bin/leased <<'END'
#!/bin/sh
case $1 in
deconfig) ip addr flush dev $interface ;;
bound)
	ip addr add $ip/24 dev $interface
	[ -z "$router" ] || ip route add default via $router dev $interface
	echo "init: $interface has $ip" >/dev/kmsg ;;
esac
END
chmod +x /bin/leased
lease() { ip link set $1 up; udhcpc -q -n -t 30 -T 2 -i $1 -s /bin/leased >/dev/null 2>&1 || say "$1 got no address"; }
pinged() { say "$1: $(ping -c 5 -W 10 -I $1 $2 | grep received)"; }
fetch() { nc 10.0.2.2 $2 </dev/null >/data; say "$1 got $(md5sum </data)"; }
send() { say "$1 sent $(nc 10.0.2.2 $2 </data)"; }
irqs() { sed -n "/$1/s/^ *\\([0-9]*\\):.*/\\1/p" /proc/interrupts; }
taken() { awk -v column=$(($1 + 2)) -v name="$2" '$0 ~ name { n += $column } END { print n + 0 }' /proc/interrupts; }
"""


class Host:
    """Gives `size` bytes to whoever connects to the port `get`, tells on the port `put` the MD5 of what it was given, and counts on the
    port `count` who asks, from 1. 10.0.2.2 is its address for a guest of a user network."""

    def __init__(self, size):
        data = random.Random(size).randbytes(size)
        self.md5 = hashlib.md5(data).hexdigest()

        class Get(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.sendall(data)

        class Put(socketserver.StreamRequestHandler):
            def handle(self):
                md5 = hashlib.md5()
                while piece := self.request.recv(1 << 16):
                    md5.update(piece)
                self.request.sendall(md5.hexdigest().encode())

        counter = itertools.count(1)

        class Count(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.sendall(b"%d" % next(counter))

        self.servers = []
        for handler in (Get, Put, Count):
            server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.servers.append(server)
        self.get, self.put, self.count = (server.server_address[1] for server in self.servers)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.shutdown()
            server.server_close()
