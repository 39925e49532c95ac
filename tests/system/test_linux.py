"""Debian's own kernel as a guest: it boots, finds what it needs, and reports no problem."""
import re
import socketserver
import threading
import time

import pytest

from linux import KERNEL, TROUBLE, initrd, vmlinux
from linux_guest import BOOT, Guest, number, sound
from linux_net import COMMAND_LINE, SCRIPT
from weir import BUILD, IDLE, PROMPT, Nic

LINE = "/boot/vmlinuz kernel name=linux mem=256M vcpus={} restart=never {} -- " + COMMAND_LINE
INITRD = "/boot/initrd ramdisk=linux"

REPORT = """
say "kernel $(uname -r), $(nproc) CPUs"
say "clock source $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
say "date $(date +%s)"
hundredths() { cut -d' ' -f1 /proc/uptime | tr -d .; }
before=$(hundredths); sleep 2; say "2 seconds took $(($(hundredths) - before)) hundredths"
"""


@pytest.mark.quick
@pytest.mark.long
@pytest.mark.parametrize("vcpus", [1, 2])
def test_linux_boots_and_powers_off(boot, tmp_path, vcpus):
    weir = boot([LINE.format(vcpus, ""), INITRD], smp=vcpus, cmdline="exit=idle loglevel=debug",
                files=[KERNEL, initrd(tmp_path / "initrd", SCRIPT + REPORT + "poweroff -f\n")])
    weir.wait_for(r"linux\| .*init: kernel", BOOT)
    assert weir.wait_exit(60) == IDLE
    weir.count(r"domain linux: kernel by Linux, entry 0x1000000, 1 module", 1)
    weir.count(rf"linux\| .*init: kernel \S+-amd64, {vcpus} CPUs", 1)
    weir.count(r"linux\| .*init: clock source (kvm-clock|tsc)", 1)
    assert abs(number(weir, r"init: date (\d+)") - time.time()) < 600
    assert number(weir, r"init: 2 seconds took (\d+) hundredths") >= 200
    weir.count(r"domain linux: powered off, status 0", 1)
    # No MSR that it accesses faults.
    weir.count(r"unknown MSR", 0)
    sound(weir)


@pytest.mark.long
def test_vmlinux_boots_by_pvh(boot, tmp_path):
    """The ELF file in the package, through its PVH entry: the same machine."""
    weir = boot([LINE.format(2, "").replace("vmlinuz", "vmlinux"), INITRD], smp=2, cmdline="exit=idle",
                files=[vmlinux(tmp_path / "vmlinux"), initrd(tmp_path / "initrd", SCRIPT + REPORT + "poweroff -f\n")])
    weir.wait_for(r"linux\| .*init: kernel \S+-amd64, 2 CPUs", BOOT)
    assert weir.wait_exit(60) == IDLE
    weir.count(r"domain linux: kernel by PVH, entry 0x\w+, 1 module", 1)
    weir.count(r"linux\| .*init: clock source (kvm-clock|tsc)", 1)
    weir.count(r"domain linux: powered off, status 0", 1)
    sound(weir)


@pytest.mark.long
def test_linux_has_a_shell_on_the_console(boot, tmp_path):
    """As the control domain, Linux owns the console, including the input of its UART, which its driver polls."""
    script = f"export PS1='{PROMPT}'\ndmesg -n 1\nexec setsid cttyhack sh\n"
    weir = boot([LINE.format(1, "control"), INITRD], cmdline="exit=idle",
                files=[KERNEL, initrd(tmp_path / "initrd", script)])
    weir.wait_prompt(timeout=BOOT)
    assert weir.command("echo $((6 * 7))") == ["42"]
    assert weir.command("cat /proc/cmdline") == [COMMAND_LINE]
    assert not [line for line in weir.command("dmesg") if TROUBLE.search(line)]
    # Its clock says when it is, not when it was when the machine's clock was read at boot, in whole seconds.
    asked = time.time()
    clock = dict(re.findall(r"time\.tv_(u?sec): +(\d+)", "\n".join(weir.command("adjtimex"))))
    said = int(clock["sec"]) + int(clock["usec"]) / 1e6
    assert asked - 2 < said < time.time() + 1, said - asked
    weir.type("poweroff -f\r")
    assert weir.wait_exit() == IDLE
    sound(weir)


STRESS = """
for i in $(seq 0 $((4 * $(nproc) - 1))); do
	taskset $(printf %x $((1 << i % $(nproc)))) \\
		sh -c 'i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); done; cat /proc/self/stat | cut -d" " -f39' &
done >/ran
wait
for cpu in $(seq 0 $(($(nproc) - 1))); do say "CPU $cpu ran $(grep -cx $cpu /ran)"; done
say "stress $(stress 20)"
for cpu in $(seq 0 $(($(nproc) - 1))); do say "CPU $cpu took $(taken $cpu TLB:) flushes, $(taken $cpu LOC:) ticks"; done
poweroff -f
"""


@pytest.mark.long
@pytest.mark.parametrize("smp, vcpus", [(1, 2), (2, 2), (2, 3), (2, 4)])
def test_address_spaces_are_coherent_across_cpus(boot, tmp_path, smp, vcpus):
    """IPIs, TLB shootdowns, timers and migrating processes, also with more vCPUs than CPUs. See
    tests/linux/stress.c."""
    guest = Guest(tmp_path, STRESS, [], vcpus=vcpus, files=[BUILD / "tests/linux/stress"])
    weir = boot(guest.lines, smp=smp, cmdline="exit=idle", files=[KERNEL, guest.initrd])
    weir.wait_for(guest.said(r"stress .* on %u CPUs: 0 stale, 0 forbidden, 0 lost" % vcpus), 2 * BOOT)
    assert weir.wait_exit(60) == IDLE
    for cpu in range(vcpus):
        weir.count(guest.said(rf"CPU {cpu} ran 4$"), 1)
        flushes, ticks = map(int, weir.wait_for(guest.said(rf"CPU {cpu} took (\d+) flushes, (\d+) ticks"), 1).groups())
        assert ticks > 1000 and flushes > 100
    sound(weir)


# The guest gets its orders from the network, since no state in it survives a reboot.
ORDERS = """
lease eth0
order=$(nc 10.0.2.2 {port} </dev/null)
say "up for $(cut -d. -f1 /proc/uptime) s: $order"
eval "$order"
sleep 60
"""


@pytest.mark.long
def test_linux_reboots_with_its_nic_in_use(boot, tmp_path):
    """In two ways, under traffic; after each restart the device is in its initial state."""
    flood = "ping -f -s 1400 10.0.2.2 >/dev/null & sleep 1; "
    orders = iter([flood + "reboot -f", flood + "echo b >/proc/sysrq-trigger", "poweroff -f"])

    class Order(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.sendall(next(orders).encode())

    with socketserver.TCPServer(("127.0.0.1", 0), Order) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        guest = Guest(tmp_path, ORDERS.replace("{port}", str(server.server_address[1])), ["e1000e"],
                      words="pci=00:03.0")
        weir = boot(guest.lines, smp=2, cmdline="exit=idle", nics=[Nic(tcp=())], files=[KERNEL, guest.initrd])
        weir.wait_for(r"domain linux: powered off", 3 * BOOT)
        assert weir.wait_exit(30) == IDLE
        server.shutdown()
    for order in ("reboot -f", "echo b", "poweroff -f"):
        weir.count(guest.said(rf"up for \d s: .*{order}"), 1)
    weir.count(r"domain linux: asked for a reboot, status 0: restarting", 2)
    weir.count(r"domain linux: device 00:03.0 .* at 00:03.0", 3)
    sound(weir)
