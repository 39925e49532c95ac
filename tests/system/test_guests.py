"""Guests and their module lines: a valid line starts a guest; an invalid one causes one log line and affects nothing
else."""
import hashlib
import re

import pytest

from both import both_machines, with_bochs
from weir import BUILD, GUESTS, IDLE, READY, ROOT, Nic

HELLO = "/boot/hello.elf kernel name=hello mem=16M"
NET = "/boot/net.elf kernel name=net0 mem=64M pci=00:03.0"


@pytest.mark.quick
@both_machines
def test_a_guest_runs_and_ends(boot):
    weir = boot([HELLO + " -- a b=c"], cmdline="exit=idle")
    assert weir.wait_exit() == IDLE
    weir.count(r'hello\| hello: command line "hello a b=c"', 1)
    weir.count(r"hello\| hello: no module", 1)
    weir.count(r"hello\| hello: powering off", 1)
    weir.count(r"the shutdown hypercall has returned", 0)


@both_machines
def test_a_ramdisk_reaches_its_guest(boot, tmp_path):
    content = hashlib.sha256(b"ramdisk").digest() * 200
    (tmp_path / "disk").write_bytes(content)
    weir = boot([HELLO, "/boot/disk ramdisk=hello -- its line"], files=[tmp_path / "disk"], cmdline="exit=idle")
    assert weir.wait_exit() == IDLE
    shown = " ".join(f"{b:02x}" for b in content[:16])
    weir.count(rf'hello\| hello: module ".*its line", {len(content)} bytes: {shown}', 1)


@with_bochs("smp", [1, 2], [2])
def test_many_guests_share_the_cpus(boot, smp):
    names = [f"g{i}" for i in range(6)]
    weir = boot([f"/boot/hello.elf kernel name={n} mem=8M -- I am {n}" for n in names], smp=smp, cmdline="exit=idle")
    assert weir.wait_exit() == IDLE
    for n in names:
        weir.count(rf'{n}\| hello: command line "{n} I am {n}"', 1)


def test_two_domains_on_one_cpu_both_go_on(boot):
    """Both use the CPU without ever yielding it; neither starves."""
    weir = boot([f"/boot/net.elf kernel name=n{i} mem=64M cpu=0 -- test=spin" for i in range(2)], smp=1, counted=4)
    weir.wait_ready()
    for i in range(2):
        weir.wait_for(rf"n{i}\| net: spin 4: \d", 60)
    rounds = [int(re.search(r"spin 4: (\d+)", weir.find(rf"n{i}\| net: spin 4:")[0])[1]) for i in range(2)]
    assert max(rounds) < 3 * min(rounds)


def test_the_higher_priority_goes_first(boot):
    weir = boot(["/boot/net.elf kernel name=low mem=64M cpu=0 -- test=spin",
                 "/boot/net.elf kernel name=high mem=64M cpu=0 prio=200 -- test=spin exit=4"], smp=1)
    weir.wait_for(r"domain high: powered off", 30)
    log = "\n".join(weir.find(""))
    # The other one may run before: domains start as soon as they are built.
    meanwhile = log[log.index("high| net: test=spin"):log.index("domain high: powered off")]
    assert "high| net: spin 3" in meanwhile and "low| net: spin" not in meanwhile
    weir.wait_until(lambda: "low| net: spin" in "\n".join(weir.find("")).split("domain high: powered off")[1],
                    "the other one does not go on", 20)


# Invalid lines: the module line, and what the log line must contain. {} is the beginning of a valid line for a kernel.
BAD = {
    "unknown key": ("{} colour=blue", '"colour=blue": unknown word'),
    "unknown kind": ("/boot/hello.elf kernle name=x mem=4M", '"kernle": unknown kind of module'),
    "nothing": ("/boot/hello.elf", 'empty module line|nothing follows the file name'),
    "no name": ("/boot/hello.elf kernel mem=4M", "the domain has no name"),
    "no memory": ("/boot/hello.elf kernel name=x", "domain x has no memory"),
    "bad name": ("/boot/hello.elf kernel name=a/b mem=4M", '"name=a/b": no usable name'),
    "bad size": ("/boot/hello.elf kernel name=x mem=4MB", '"mem=4MB": no usable size'),
    "too small": ("/boot/hello.elf kernel name=x mem=1M", '"mem=1M": no usable size'),
    "no vcpu": ("{} vcpus=0", '"vcpus=0": no usable number'),
    "bad priority": ("{} prio=256", '"prio=256": no usable priority'),
    "bad CPU": ("{} cpu=256", '"cpu=256": no usable CPU'),
    "CPU that is not there": ("{} cpu=7", "domain x: left out: cpu=7"),
    "bad device": ("{} pci=3", '"pci=3": no PCI address'),
    "device twice": ("{} pci=00:03.0,00:03.0", "names a device twice"),
    "twice": ("{} mem=8M", '"mem=8M": given twice'),
    "device that is not there": ("{} pci=00:1e.0", "domain x: left out: pci=.*00:1e.0"),
    "too much memory": ("/boot/hello.elf kernel name=x mem=100G", "domain x: mem=102400M is not available"),
    "name taken": ("/boot/hello.elf kernel name=hello mem=4M", "another domain has this name"),
    "kernel that does not fit": ("/boot/hello.elf kernel name=x mem=4M",
                                 "domain x: its kernel cannot be loaded: .*fit"),
    "not a kernel": ("/boot/noise kernel name=x mem=4M", "domain x: its kernel cannot be loaded: not a kernel"),
    "broken ELF": ("/boot/cut.elf kernel name=x mem=64M",
                   "domain x: its kernel cannot be loaded: .*copy (it|the file) again"),
    "ramdisk of nobody": ("/boot/noise ramdisk=nobody", "ramdisk=nobody: no domain of this name"),
    "ramdisk with words": ("/boot/noise ramdisk=hello mem=4M", '"mem=4M": unknown word after ramdisk='),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_module_line_is_explained(boot, tmp_path, what):
    line, message = BAD[what]
    (tmp_path / "noise").write_bytes(b"noise" * 1000)
    (tmp_path / "cut.elf").write_bytes((GUESTS / "net.elf").read_bytes()[:12288])
    weir = boot([HELLO, line.format("/boot/hello.elf kernel name=x mem=8M")], cmdline="exit=idle", nics=[Nic()],
                files=[tmp_path / "noise", tmp_path / "cut.elf"])
    assert weir.wait_exit() == IDLE
    weir.count(r"error: ", 1)
    weir.count(r"error: (module 1|domain x): ", 1)
    weir.count(message, 1)
    # The other domain starts.
    weir.count(r"hello\| hello: powering off", 1)
    weir.count(r"x\| ", 0)


def test_a_device_is_given_once(boot):
    weir = boot([NET, NET.replace("net0", "net1")], nics=[Nic()], cmdline="exit=ready")
    assert weir.wait_exit() == READY
    weir.count(r"error: ", 1)
    weir.count(r"error: domain net1: left out: pci=.*00:03.0: it already belongs to domain net0", 1)
    weir.count(r"domain net0: .*starts", 1)


@pytest.mark.parametrize("iommu, cmdline, reason", [
    ("none", "", "this machine has no VT-d"),
    ("intremap=off", "", "does not allow interrupt remapping"),
    (None, "iommu=off", "switched off by iommu=off"),
    (None, "iommu=nointremap", "switched off by iommu=nointremap"),
], ids=["no VT-d", "no interrupt remapping", "iommu=off", "iommu=nointremap"])
def test_without_remapping_no_device_is_given(boot, iommu, cmdline, reason):
    weir = boot([NET, HELLO], nics=[Nic()], iommu=iommu, cmdline=cmdline + " exit=idle")
    assert weir.wait_exit() == IDLE
    weir.count(rf"error: domain net0: left out: .*{re.escape(reason)}.*pci=", 1)
    weir.count(r"net0\| ", 0)
    weir.count(r"hello\| hello: powering off", 1)


@pytest.mark.quick
@both_machines
def test_a_pvh_kernel_boots(boot, tmp_path):
    """The network guest has both signatures; without Multiboot's it is loaded as a PVH kernel."""
    elf = (GUESTS / "net.elf").read_bytes()
    magic = (0x1BADB002).to_bytes(4, "little")
    assert elf.count(magic) >= 1
    (tmp_path / "pvh.elf").write_bytes(elf.replace(magic, bytes(4)))
    weir = boot(["/boot/pvh.elf kernel name=p mem=64M -- exit=1 word"], files=[tmp_path / "pvh.elf"],
                cmdline="exit=idle")
    assert weir.wait_exit() == IDLE
    weir.count(r"domain p: kernel by PVH", 1)
    weir.count(r'p\| runtime: started by PVH, command line "exit=1 word"', 1)
    weir.count(r"p\| runtime: running under Weir", 1)


def test_ports_are_documented(boot):
    """docs/guests.md lists exactly the ports that respond, with and without legacy devices."""
    rows = [(ports, what) for ports, what in re.findall(r"^\| (0x[0-9a-f]+(?:-0x[0-9a-f]+)?) \| ([^|]*) \|$",
                                                        (ROOT / "docs/guests.md").read_text(), re.MULTILINE)
            if "all ones" not in what]
    weir = boot([f"/boot/cpu.elf kernel name={name} mem=16M legacy={name} -- ports" for name in ("on", "off")],
                files=[BUILD / "tests/guests/cpu.elf"], cmdline="exit=idle")
    assert weir.wait_exit(60) == IDLE
    for name in "on", "off":
        documented = [ports for ports, what in rows if name == "on" or "legacy=on" not in what]
        assert [re.search(r"0x\S+", line)[0] for line in weir.find(rf"\b{name}\| ports: 0x")] == documented


def test_kernels_are_documented():
    """docs/guests.md has a row for each test of kernels that others wrote, and each row's test exists."""
    rows = re.findall(r"^\|.*\| (test_\w+) \|$", (ROOT / "docs/guests.md").read_text(), re.MULTILINE)
    tests = re.findall(r"^def (test_\w+)", (ROOT / "tests/system/test_kernels.py").read_text(), re.MULTILINE)
    assert len(rows) >= 8
    assert set(rows) == set(tests)
