"""A Linux guest that uses a network: the commands of its script, and the host's side of each transfer."""
import hashlib
import itertools
import random
import socketserver
import threading

# The script writes to the kernel's log, where lines do not interrupt each other. printk.devkmsg=on disables its rate
# limit.
COMMAND_LINE = "console=ttyS0 panic=-1 printk.devkmsg=on"

# load NAME...: inserts modules. lease INTERFACE: gets an address and a route by DHCP. fetch LABEL PORT, send LABEL
# PORT: transfer /data, and report its checksum. pinged INTERFACE ADDRESS: pings. irqs NAME: prints the numbers of the
# interrupts of this name. taken CPU NAME: prints how many of them the CPU took.
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
    """Sends `size` bytes to each client of the port `get`, answers on the port `put` with the MD5 of what it
    received, and counts the clients of the port `count`, from 1. A guest on a user network reaches it at 10.0.2.2."""

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
