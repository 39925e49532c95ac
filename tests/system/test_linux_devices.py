"""Debian's own drivers in a guest that owns the device: their effects, observed from outside."""
import hashlib
import json
import random
import re
import time

import pytest

from linux import KERNEL
from linux_guest import BOOT, Guest, number, sound
from linux_net import Host
from patience import http_request
from weir import IDLE, AtsNic, Nic, PortNic

MB = 1 << 20

NETWORK = """
lease eth0
pinged eth0 10.0.2.2
fetch eth0 {host.get}
send eth0 {host.put}
for cpu in $(seq 0 $(($(nproc) - 1))); do say "eth0 on CPU $cpu: $(taken $cpu eth0)"; done
say "interrupts of eth0: $(irqs eth0 | wc -l)"
say done
poweroff -f
"""


@pytest.mark.parametrize("model, vcpus, vectors, text", [
    pytest.param("e1000e", 2, 3, "", marks=pytest.mark.quick),
    pytest.param("e1000e", 1, 3, "", marks=pytest.mark.long),
    pytest.param("e1000e", 2, 3, "nox2apic", marks=pytest.mark.long),
    pytest.param("igb", 1, 3, "", marks=pytest.mark.long),
    pytest.param("igb", 2, 5, "", marks=pytest.mark.long),
])
def test_network(boot, tmp_path, model, vcpus, vectors, text):
    """DHCP, ping, and megabytes in each direction. igb has two queues per CPU, each with its own interrupt. Without
    x2APIC mode, Linux's interrupts have logical destinations."""
    with Host(8 * MB) as host:
        guest = Guest(tmp_path, NETWORK.format(host=host), [model], words="pci=00:03.0", vcpus=vcpus, text=text)
        weir = boot(guest.lines, cmdline="exit=idle", nics=[Nic(model=model, tcp=())], files=[KERNEL, guest.initrd],
                    smp=vcpus)
        weir.wait_for(guest.said("eth0 has 10.0.2.15"), BOOT)
        weir.wait_for(guest.said("done"), 120)
        assert weir.wait_exit(60) == IDLE
    weir.count(guest.said("eth0: 5 packets transmitted, 5 packets received"), 1)
    weir.count(guest.said(f"eth0 got {host.md5}"), 1)
    weir.count(guest.said(f"eth0 sent {host.md5}"), 1)
    weir.count(guest.said(f"interrupts of eth0: {vectors}"), 1)
    for cpu in range(vcpus):
        assert number(weir, guest.said(rf"eth0 on CPU {cpu}: (\d+)")) > 10
    sound(weir)


# Disturbances of a driver while its device works. Each step ends with a transfer that must be correct.
WEAR = """
address=0000:00:{slot}.0 driver=/sys/bus/pci/drivers/{driver}
moved() {{ lease eth0; fetch $1 {short.get}; send $1 {short.put}; }}

lease eth0
pinged eth0 10.0.2.2
fetch long {long.get}
send long {long.put}
rm /data

(moved affinity; touch /over) &
before=$(taken 1 {interrupts})
changes=0
until [ -e /over ]; do
	for irq in $(irqs {interrupts}); do
		for mask in 1 2; do echo $mask >/proc/irq/$irq/smp_affinity && changes=$((changes + 1)); done
	done
done
say "affinity changed $changes times, CPU 1 took $(($(taken 1 {interrupts}) - before))"

ping -q -i 0.01 10.0.2.2 >/dev/null &
for i in 1 2 3; do
	echo $address >$driver/unbind
	[ ! -e /sys/class/net/eth0 ] || say "eth0 is still there"
	echo $address >$driver/bind
	moved bound
done
for i in 1 2 3; do rmmod {module}; insmod /bin/{module}.ko; moved loaded; done
for i in 1 2 3; do ip link set eth0 down; ip link set eth0 up; moved up; done
say done
poweroff -f
"""


class Wearable:
    """A network device: its address, driver and interrupt names in Weir and in the guest."""

    def __init__(self, module, nic, function, slot, driver=None, interrupts="eth0", lines=(), cmdline=""):
        self.module, self.nic, self.function, self.slot = module, nic, function, slot
        self.driver, self.interrupts = driver or module, interrupts
        self.modules = [module] if module == self.driver else [self.driver.replace("-", "_"), module]
        self.lines, self.cmdline = list(lines), cmdline


CONTROL = "/boot/control.elf kernel name=control mem=16M prio=200 control pci=01:00.0"
WEARABLE = {
    "e1000e": lambda: Wearable("e1000e", Nic(tcp=()), "00:03.0", "03"),
    "igb": lambda: Wearable("igb", Nic(model="igb", tcp=()), "00:03.0", "03"),
    "igbvf": lambda: Wearable("igbvf", PortNic(tcp=()), "01:10.0", "10", lines=[CONTROL], cmdline="sriov=01:00.0,2"),
    "virtio_net": lambda: Wearable("virtio_net", AtsNic(tcp=()), "01:00.0,ats", "01", driver="virtio-pci",
                                   interrupts="virtio0"),
}


@pytest.mark.long
@pytest.mark.parametrize("name", WEARABLE)
def test_a_driver_survives_wear(boot, tmp_path, name):
    """200 MB in each direction; interrupts are moved, the driver is unbound and reloaded, and its link is taken down
    under traffic."""
    device = WEARABLE[name]()
    with Host(200 * MB) as long, Host(4 * MB) as short:
        script = WEAR.format(long=long, short=short, slot=device.slot, driver=device.driver, module=device.module,
                             interrupts=device.interrupts)
        guest = Guest(tmp_path, script, device.modules, words=f"pci={device.function}", mem="640M")
        weir = boot([*device.lines, *guest.lines], cmdline=device.cmdline, nics=[device.nic],
                    files=[KERNEL, guest.initrd],
                    smp=2, mem="1G")
        weir.wait_for(guest.said("eth0 has 10.0.2.15"), BOOT)
        weir.wait_for(guest.said("done"), 900)
        weir.wait_for("domain linux: powered off", 60)
    weir.count(guest.said("eth0: 5 packets transmitted, 5 packets received"), 1)
    for step, times, host in (("long", 1, long), ("affinity", 1, short), ("bound", 3, short), ("loaded", 3, short),
                              ("up", 3, short)):
        weir.count(guest.said(f"{step} got {host.md5}"), times)
        weir.count(guest.said(f"{step} sent {host.md5}"), times)
    changes = weir.wait_for(guest.said(r"affinity changed (\d+) times, CPU 1 took (\d+)"), 1)
    assert int(changes[1]) > 10 and int(changes[2]) > 10
    weir.count(guest.said("eth0 is still there"), 0)
    sound(weir)


# The drivers do not shut down: the device is active when the domain ends.
REBOOT = """
lease eth0
boot=$(nc 10.0.2.2 {host.count} </dev/null)
say "boot $boot"
fetch moved {host.get}
send moved {host.put}
[ $boot -lt 3 ] || {{ say done; poweroff -f; }}
while :; do nc 10.0.2.2 {host.get} </dev/null >/dev/null; done &
while :; do nc 10.0.2.2 {host.put} </data >/dev/null; done &
sleep 2
echo b >/proc/sysrq-trigger
sleep 100
"""


@pytest.mark.long
@pytest.mark.parametrize("name", WEARABLE)
def test_a_device_in_use_survives_a_reboot(boot, tmp_path, name):
    """Frames arrive and leave while the guest is restarted; afterwards the device is in its initial state. An e1000e is
    behind its own link here: QEMU's supports only a link reset, and would otherwise continue with the old rings as soon
    as its DMA is enabled."""
    on_a_link = Wearable("e1000e", PortNic(model="e1000e", tcp=()), "01:00.0", "01")
    device = on_a_link if name == "e1000e" else WEARABLE[name]()
    with Host(4 * MB) as host:
        guest = Guest(tmp_path, REBOOT.format(host=host), device.modules, words=f"pci={device.function}")
        weir = boot([*device.lines, *guest.lines], cmdline=device.cmdline, nics=[device.nic],
                    files=[KERNEL, guest.initrd], smp=2,
                    mem="1G")
        weir.wait_for(guest.said("done"), 3 * BOOT)
        weir.wait_for("domain linux: powered off", 60)
    weir.count("domain linux: asked for a reboot.*restarting", 2)
    weir.count(guest.said(f"moved got {host.md5}"), 3)
    weir.count(guest.said(f"moved sent {host.md5}"), 3)
    sound(weir)


# The two guests also have addresses on their own network, on the same link.
VIRTUAL = """
lease eth0
pinged eth0 10.0.2.2
ip addr add 192.168.9.{number}/24 dev eth0
fetch eth0 {host.get}
send eth0 {host.put}
until ping -c 1 -W 1 192.168.9.{other} >/dev/null; do :; done
pinged eth0 192.168.9.{other}
say done
while :; do ping -c 1 -W 1 10.0.2.2 >/dev/null && say alive; sleep 1; done
"""


def still_alive(weir, guest, timeout=60):
    """Waits until the guest has reached 10.0.2.2 twice more: the first answer may have been in flight."""
    before = len(weir.find(guest.said("alive")))
    weir.wait_until(lambda: len(weir.find(guest.said("alive"))) >= before + 2,
                    f"{guest.name} no longer reaches 10.0.2.2", timeout)


def test_virtual_functions(boot, tmp_path):
    """Two guests with a virtual function each of a device that the control domain owns, and lwIP's guest with its own
    NIC. The two Linux guests reach each other through the device's switch."""
    nic = Nic(3)
    with Host(8 * MB) as host:
        guests = [Guest(tmp_path, VIRTUAL.format(host=host, number=n, other=3 - n), ["igbvf"], name=f"linux{n}",
                        vcpus=1,
                        words=f"pci={function}") for n, function in ((1, "01:10.0"), (2, "01:10.2"))]
        weir = boot([CONTROL, *(line for guest in guests for line in guest.lines),
                     "/boot/net.elf kernel name=net0 mem=64M pci=00:03.0"], cmdline="sriov=01:00.0,2", mem="1G",
                    nics=[PortNic(4, tcp=()), nic], files=[KERNEL, *(guest.initrd for guest in guests)])
        weir.wait_for("serves 2 virtual functions")
        weir.wait_for("net0.*serving http", 60)
        for guest in guests:
            weir.wait_for(guest.said(r"eth0 has 10\.0\.2"), BOOT)
        requests = 0
        while not all(weir.find(guest.said("done")) for guest in guests):
            assert json.loads(http_request(weir, nic.tcp(), "GET", "/stats.json")[2])["hypervisor"]
            requests += 1
            if requests > 2000:
                weir.fail("the guests did not finish")
            time.sleep(0.1)
    for n, guest in enumerate(guests, 1):
        weir.count(guest.said("eth0: 5 packets transmitted, 5 packets received"), 2)
        weir.count(guest.said(f"eth0 got {host.md5}"), 1)
        weir.count(guest.said(f"eth0 sent {host.md5}"), 1)
    # Each has its own requester id, so the tables of two domains were used.
    devices = "\n".join(weir.command("devices"))
    for function, owner in (("01:00.0", "control"), ("01:10.0", "linux1"), ("01:10.2", "linux2"), ("00:03.0", "net0")):
        assert re.search(rf"{function} .* {owner} +attached", devices)
    # Detaching one does not affect the other; only the control domain can own the physical function.
    assert weir.command("detach 01:10.0") == ["01:10.0: detached from linux1, free"]
    still_alive(weir, guests[1])
    assert weir.command("detach 01:00.0") == ["01:00.0: detached from control, free"]
    assert "only the control domain can own it" in weir.command("attach 01:00.0 net0")[0]
    assert weir.command("attach 01:00.0 control") == ["01:00.0: attached to control"]
    still_alive(weir, guests[1])
    sound(weir)


def disk_options(image):
    return ["-drive", f"file={image},if=none,id=disk,format=raw", "-device", "nvme,serial=weir,drive=disk,addr=5"]


# The disk has four parts. The first is read and the second written; two CPUs write the others at the same time. All
# accesses bypass the page cache.
DISK = """
disk=/dev/nvme0n1 blocks={blocks}
part() {{ dd if=$disk bs=128k skip=$(($1 * blocks)) count=$blocks iflag=direct 2>/dev/null | md5sum; }}
until [ -b $disk ]; do sleep 0.1; done
say "interrupts $(irqs nvme0 | wc -l)"
say "part 0 is $(part 0)"
dd if=/dev/urandom of=/data bs=128k count=$blocks 2>/dev/null
say "data is $(md5sum </data)"
dd if=/data of=$disk bs=128k seek=$blocks oflag=direct conv=notrunc,fsync 2>/dev/null
say "part 1 is $(part 1)"
for cpu in 0 1; do
	taskset $((cpu + 1)) dd if=/data of=$disk bs=4k seek=$((32 * blocks * (cpu + 2))) \\
		oflag=direct conv=notrunc,fsync 2>/dev/null &
done
wait
for cpu in 0 1; do say "queue of CPU $cpu: $(taken $cpu nvme0q)"; done
say "part 2 is $(part 2)"
say "part 3 is $(part 3)"
"""

DISK_WEAR = """
for i in 1 2 3; do
	part 0 >/read &
	echo 1 >/sys/class/nvme/nvme0/reset_controller
	wait
	say "reset: $(cat /read)"
done
for i in 1 2 3; do
	echo 0000:00:05.0 >/sys/bus/pci/drivers/nvme/unbind
	[ ! -e $disk ] || say "the disk is still there"
	echo 0000:00:05.0 >/sys/bus/pci/drivers/nvme/bind
	until [ -b $disk ]; do sleep 0.1; done
	say "bound: $(part 0)"
done
for i in 1 2 3; do
	rmmod nvme
	insmod /bin/nvme.ko
	until [ -b $disk ]; do sleep 0.1; done
	say "loaded: $(part 0)"
done
"""


DISK_REBOOT = """
disk=/dev/nvme0n1 blocks={blocks}
until [ -b $disk ]; do sleep 0.1; done
boot=$(dd if=$disk bs=4k count=1 iflag=direct 2>/dev/null | tr -d '\\0')
say "boot $boot, $(dd if=$disk bs=128k skip=$blocks count=$blocks iflag=direct 2>/dev/null | md5sum)"
[ $boot -lt 3 ] || {{ say done; poweroff -f; }}
printf $((boot + 1)) | dd of=$disk bs=4k conv=notrunc,fsync 2>/dev/null
dd if=/dev/zero of=$disk bs=128k seek=$((2 * blocks)) conv=notrunc oflag=direct 2>/dev/null &
while :; do dd if=$disk of=/dev/null bs=128k iflag=direct 2>/dev/null; done &
sleep 1
echo b >/proc/sysrq-trigger
sleep 100
"""


@pytest.mark.long
def test_an_nvme_in_use_survives_a_reboot(boot, tmp_path):
    """The controller has commands in flight when the guest is restarted."""
    size = 32 * MB
    image = tmp_path / "disk"
    data = random.Random(3).randbytes(size)
    image.write_bytes(b"1" + bytes(size - 1) + data + bytes(6 * size))
    guest = Guest(tmp_path, DISK_REBOOT.format(blocks=size // (128 << 10)), ["nvme"], words="pci=00:05.0")
    weir = boot(guest.lines, cmdline="exit=idle", smp=2, files=[KERNEL, guest.initrd], qemu=disk_options(image))
    weir.wait_for(guest.said("done"), 3 * BOOT)
    assert weir.wait_exit(60) == IDLE
    for n in (1, 2, 3):
        weir.count(guest.said(f"boot {n}, {hashlib.md5(data).hexdigest()}"), 1)
    weir.count("domain linux: asked for a reboot.*restarting", 2)
    sound(weir)


@pytest.mark.long
def test_an_nvme_with_a_large_bar(boot, tmp_path):
    """A BAR of 64 bits is above Linux' RAM and works there: it is the controller's memory buffer."""
    size = 8 * MB
    image = tmp_path / "disk"
    image.write_bytes(random.Random(4).randbytes(4 * size))
    options = disk_options(image)
    options[-1] += ",cmb_size_mb=64,legacy-cmb=on"
    script = DISK.format(blocks=size // (128 << 10)) + """
        say "BAR 2: $(sed -n 3p /sys/bus/pci/devices/0000:00:05.0/resource)"
        echo 0000:00:05.0 >/sys/bus/pci/drivers/nvme/unbind
        devmem 0x103fffff8 32 0x12345678
        say "its last words: $(devmem 0x103fffff8 32) $(devmem 0x103fffffc 32)"
        say done
        poweroff -f
    """
    guest = Guest(tmp_path, script, ["nvme"], words="pci=00:05.0")
    weir = boot(guest.lines, cmdline="exit=idle", smp=2, files=[KERNEL, guest.initrd], qemu=options)
    weir.wait_for(guest.said("done"), 2 * BOOT)
    assert weir.wait_exit(60) == IDLE
    data = weir.wait_for(guest.said("data is (\\w+)"), 1)[1]
    for n in (1, 2, 3):
        weir.count(guest.said(f"part {n} is {data}"), 1)
    weir.count(guest.said("BAR 2: 0x0*100000000 0x0*103ffffff"), 1)
    weir.count(guest.said("its last words: 0x12345678 0x0*"), 1)
    weir.count(r"nvme.*(timeout|Abort|not ready)", 0)
    sound(weir)


@pytest.mark.long
def test_an_nvme_keeps_its_data(boot, tmp_path):
    """Linux reads what is on the disk, and the disk contains what Linux wrote, across resets of the controller and
    driver changes."""
    size, parts = 32 * MB, 4
    image = tmp_path / "disk"
    first = random.Random(2).randbytes(size)
    image.write_bytes(first + bytes((parts - 1) * size))
    script = (DISK + DISK_WEAR).format(blocks=size // (128 << 10)) + "say done\npoweroff -f\n"
    guest = Guest(tmp_path, script, ["nvme"], words="pci=00:05.0")
    weir = boot(guest.lines, cmdline="exit=idle", smp=2, files=[KERNEL, guest.initrd],
                qemu=disk_options(image))
    weir.wait_for(guest.said("interrupts 3"), BOOT)
    weir.wait_for(guest.said("done"), 300)
    assert weir.wait_exit(60) == IDLE
    on_disk = image.read_bytes()
    data = weir.wait_for(guest.said("data is (\\w+)"), 1)[1]
    wanted = [hashlib.md5(first).hexdigest(), data, data, data]
    for n, md5 in enumerate(wanted):
        assert hashlib.md5(on_disk[n * size:(n + 1) * size]).hexdigest() == md5
        weir.count(guest.said(f"part {n} is {md5}"), 1)
    for step in ("reset", "bound", "loaded"):
        weir.count(guest.said(f"{step}: {wanted[0]}"), 3)
    for cpu in (0, 1):
        assert number(weir, guest.said(rf"queue of CPU {cpu}: (\d+)")) > 1000
    weir.count(guest.said("the disk is still there"), 0)
    weir.count(r"nvme.*(timeout|Abort|not ready|failed)", 0)
    sound(weir)


NEIGHBOUR = """
ip addr add 10.1.0.2/24 dev eth0
ip link set eth0 up
until ping -c 1 -W 1 10.1.0.1 >/dev/null; do :; done
pinged eth0 10.1.0.1
say "blob $(wget -q -O - 'http://10.1.0.1/blob?mb=8&seed=7' | sha256sum)"
dd if=/dev/urandom of=/data bs=64k count=128 2>/dev/null
set -- $(crc32 /data)
post() { printf 'POST /sink HTTP/1.0\\r\\nContent-Length: %d\\r\\n\\r\\n' $(wc -c </data); cat /data; }
say "data $1, answer $(post | nc 10.1.0.1 80 | tail -1)"
say "data $(md5sum </data), echo $(nc 10.1.0.1 7 </data | md5sum)"
wget -q -O - 'http://10.1.0.1/blob?mb=8&seed=7' | sha256sum >/blob &
released=$(wget -q -O - 'http://10.1.0.1/release?mb=8')
wait
say "beside it $(cat /blob)"
# A line of the log is not that long.
say "release ${released%%,?nonzero*}}"
say done
poweroff -f
"""


@pytest.mark.long
def test_linux_and_lwip_share_a_wire(boot, tmp_path, blob):
    """Two guests with a NIC each, and nothing else on their network: every frame is moved by the DMA of both."""
    hub = ["-netdev", "hubport,id=left,hubid=0", "-device", "e1000e,netdev=left,addr=3,romfile=,mac=52:54:00:12:34:03",
           "-netdev", "hubport,id=right,hubid=0", "-device", "igb,netdev=right,addr=4,romfile=,mac=52:54:00:12:34:04"]
    guest = Guest(tmp_path, NEIGHBOUR, ["igb"], words="pci=00:04.0")
    weir = boot(["/boot/net.elf kernel name=net0 mem=64M pci=00:03.0 -- ip=10.1.0.1 mask=255.255.255.0 gw=10.1.0.2",
                 *guest.lines],
                smp=2, files=[KERNEL, guest.initrd], qemu=hub)
    weir.wait_for(guest.said("done"), BOOT + 120)
    weir.wait_for("domain linux: powered off", 60)
    weir.count(guest.said("eth0: 5 packets transmitted, 5 packets received"), 1)
    for what in ("blob", "beside it"):
        weir.count(guest.said(f"{what} {blob(7, 8 * MB)}"), 1)
    sent = weir.wait_for(guest.said(r"data ([0-9a-f]+), answer (\{.*\})"), 1)
    answer = json.loads(sent[2])
    assert answer == {"bytes": 8 * MB, "crc32": int(sent[1], 16)}
    echoed = weir.wait_for(guest.said(r"data (\w+)  -, echo (\w+)  -"), 1)
    assert echoed[1] == echoed[2]
    released = json.loads(weir.wait_for(guest.said(r"release (\{.*\})"), 1)[1])
    assert released["released_pages"] == released["populated_pages"] == 2048 and released["zeroed"]
    sound(weir)
