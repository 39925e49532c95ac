"""Debian's own kernel as a guest: it boots, finds what it needs, and says nothing of trouble."""
import contextlib
import hashlib
import http.server
import random
import threading
import time

import pytest

from linux import KERNEL, LINUX, TROUBLE, initrd
from weir import IDLE, PROMPT, Nic

LINE = "/boot/vmlinuz kernel name=linux mem=256M vcpus={} {} -- console=ttyS0 panic=-1"
INITRD = "/boot/initrd ramdisk=linux"
# TCG unpacks the kernel in some ten seconds, where nothing else runs.
BOOT = 180

REPORT = """
echo "init: kernel $(uname -r), $(nproc) CPUs"
echo "init: clock source $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
echo "init: date $(date +%s)"
before=$(date +%s%N); sleep 2; echo "init: 2 seconds took $((($(date +%s%N) - before) / 100000000)) tenths"
"""


def no_trouble(weir):
    weir.count(TROUBLE.pattern, 0)
    weir.count(r"ended by Weir", 0)


def number(weir, pattern):
    return int(weir.wait_for(pattern, 1)[1])


@pytest.mark.long
@pytest.mark.parametrize("vcpus", [1, 2])
def test_linux_boots_and_powers_off(boot, tmp_path, vcpus):
    weir = boot([LINE.format(vcpus, ""), INITRD], smp=vcpus, cmdline="exit=idle",
                files=[KERNEL, initrd(tmp_path / "initrd", REPORT + "poweroff -f\n")])
    weir.wait_for(r"linux\| init: kernel", BOOT)
    assert weir.wait_exit(60) == IDLE
    weir.count(r"domain linux: kernel by Linux, entry 0x1000000, 1 module", 1)
    weir.count(rf"linux\| init: kernel \S+-amd64, {vcpus} CPUs", 1)
    weir.count(r"linux\| init: clock source (kvm-clock|tsc)", 1)
    assert abs(number(weir, r"init: date (\d+)") - time.time()) < 600
    assert number(weir, r"init: 2 seconds took (\d+) tenths") >= 20
    weir.count(r"domain linux: powered off, status 0", 1)
    no_trouble(weir)


@pytest.mark.long
def test_reboot_ends_the_domain(boot, tmp_path):
    weir = boot([LINE.format(1, ""), INITRD], cmdline="exit=idle", files=[KERNEL, initrd(tmp_path / "initrd", "reboot -f\n")])
    weir.wait_for(r"domain linux: asked for a reboot, status 0", BOOT)
    assert weir.wait_exit() == IDLE
    no_trouble(weir)


@pytest.mark.long
def test_shell_on_the_console(boot, tmp_path):
    """As the control domain, Linux has the console: its UART's input too, which its driver polls."""
    script = f"export PS1='{PROMPT}'\nexec setsid cttyhack sh\n"
    weir = boot([LINE.format(1, "control"), INITRD], cmdline="exit=idle", files=[KERNEL, initrd(tmp_path / "initrd", script)])
    weir.wait_prompt(timeout=BOOT)
    assert weir.command("echo $((6 * 7))") == ["42"]
    assert weir.command("cat /proc/cmdline") == ["console=ttyS0 panic=-1"]
    weir.type("poweroff -f\r")
    assert weir.wait_exit() == IDLE
    no_trouble(weir)


@contextlib.contextmanager
def served(data):
    """A port of this host's where HTTP gives `data`."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


NETWORK = """
cat >/bin/bound <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/24 dev $interface
ip route add default via $router
echo "init: address $ip"
END
chmod +x /bin/bound
insmod /bin/e1000e.ko
ip link set eth0 up
udhcpc -q -n -t 30 -i eth0 -s /bin/bound
ping -c 3 -W 10 10.0.2.2 | sed 's/^/init: /'
for i in 1 2 3; do wget -q -O - http://10.0.2.2:{port}/ | md5sum | sed 's/^/init: got /'; done
grep eth0 /proc/interrupts | sed 's/^/init: /'
poweroff -f
"""


@pytest.mark.parametrize("vcpus", [pytest.param(1, marks=pytest.mark.long), 2])
def test_linux_drives_an_e1000e(boot, tmp_path, vcpus):
    """By Debian's driver: DHCP, ping, and some megabytes that must be right, by MSI-X and its own DMA."""
    data = random.Random(1).randbytes(4 << 20)
    with served(data) as port:
        script = NETWORK.replace("{port}", str(port))
        weir = boot([LINE.format(vcpus, "pci=00:03.0"), INITRD], smp=vcpus, cmdline="exit=idle", nics=[Nic(tcp=())],
                    files=[KERNEL, initrd(tmp_path / "initrd", script, [LINUX / "e1000e.ko"])])
        weir.wait_for(r"linux\| init: address 10\.0\.2\.15", BOOT)
        assert weir.wait_exit(120) == IDLE
    weir.count(r"linux\| init: 3 packets transmitted, 3 packets received", 1)
    weir.count(rf"linux\| init: got {hashlib.md5(data).hexdigest()}", 3)
    weir.count(r"linux\| init: .*MSI.*eth0-rx", 1)
    weir.count(r"linux\| .*eth0: (Detected Hardware Unit Hang|NETDEV WATCHDOG)", 0)
    weir.count(r"iommu: .*fault", 0)
    no_trouble(weir)
