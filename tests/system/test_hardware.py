"""Hardware that fails, reports errors, comes and goes. QEMU's monitor does that."""
from test_control import CONTROL, table

# Valid, enabled, with an address and a miscellaneous register.
CORRECTED, UNCORRECTED, LOST = 0x9C00000000000151, 0xBC00000000000151, 0xBE00000000000151
RESTART_IP_VALID, IN_PROGRESS = 1, 4

# The slot is switched by its own registers, not by ACPI.
PORT = ["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
        "-device", "pcie-root-port,id=plug,chassis=1,addr=4"]
CARD = "e1000e,id=card,bus=plug,romfile="


def pull_out(weir):
    """Switches the port's slot off (its slot control) and takes the card away."""
    weir.monitor.ask("o /w 0xcf8 0x8000206c")
    weir.monitor.ask("o /h 0xcfc 0x700")
    weir.monitor.ask("device_del card")


def put_in(weir, device):
    """Switches the slot on again, with this device in it."""
    weir.monitor.ask("o /w 0xcf8 0x8000206c")
    weir.monitor.ask("o /h 0xcfc 0x100")
    weir.monitor.ask(f"device_add {device}")


def test_a_device_comes_and_goes(boot):
    weir = boot([CONTROL], qemu=[*PORT, "-device", CARD])
    assert weir.command("attach 01:00.0 control") == ["01:00.0: attached to control"]
    pull_out(weir)
    assert table(weir, "devices")["01:00.0"][4:6] == ["control", "gone"]
    weir.count(r"pci: 01:00.0 \(8086:10d3\) is gone", 1)
    assert weir.command("detach 01:00.0") == ["01:00.0: detached from control, gone"]
    assert "is gone" in weir.command("attach 01:00.0 control")[0]
    # The same again: it gets the addresses of the one before it.
    put_in(weir, CARD)
    assert " 0 new, 0 gone" in weir.command("rescan")[0]
    weir.count(r"pci: 01:00.0 \(8086:10d3\) has lost its BARs", 1)
    assert weir.command("attach 01:00.0 control") == ["01:00.0: attached to control"]
    assert weir.command("detach 01:00.0") == ["01:00.0: detached from control, free"]


def test_a_device_is_exchanged(boot):
    """The new one has no addresses, which Weir does not choose."""
    weir = boot([CONTROL], qemu=[*PORT, "-device", CARD])
    weir.command("devices")
    pull_out(weir)
    put_in(weir, "virtio-net-pci,bus=plug,romfile=")
    assert "another device" in weir.command("attach 01:00.0 control")[-1]
    weir.count("pci: 01:00.0 was 8086:10d3, class 0200, and is 1af4:1041, class 0200", 1)
    weir.command("rescan")
    assert table(weir, "devices")["01:00.0"][1] == "1af4:1041"
    assert "BARs" in weir.command("attach 01:00.0 control")[0]


def test_a_device_is_added(boot):
    weir = boot([CONTROL], qemu=PORT)
    assert "01:00.0" not in table(weir, "devices")
    put_in(weir, CARD)
    assert " 1 new, 0 gone" in weir.command("rescan")[0]
    assert table(weir, "devices")["01:00.0"][1:6] == ["8086:10d3", "0200", "network", "-", "Weir's"]


def machine_check(weir, status, mcg_status):
    weir.monitor.ask(f"mce 0 4 {status:#x} {mcg_status:#x} 0x1234000 0x86")


def test_corrected_errors_are_told(boot):
    weir = boot([CONTROL])
    weir.command("domains")
    for n in (1, 2):
        machine_check(weir, CORRECTED, 0)
        weir.wait_for(f"machine check: CPU 0: {n} corrected errors so far", 60)
    weir.count("machine check: CPU 0, bank 4: corrected: status 9c00000000000151, address 0x1234000", 2)
    weir.command("domains")


def test_a_machine_check_is_no_fault_of_weirs(boot):
    weir = boot([CONTROL])
    weir.command("domains")
    machine_check(weir, LOST, IN_PROGRESS)
    weir.wait_for("panic on CPU 0: a machine check that cannot be continued", 30, panic_is_fine=True)
    weir.wait_for("machine check: CPU 0, bank 4: uncorrected, .* status be00000000000151", 30, panic_is_fine=True)
    weir.wait_for("Weir has stopped. The hardware has failed, not Weir", 30, panic_is_fine=True)


def test_nmis_are_counted(boot):
    weir = boot([CONTROL], smp=2)
    weir.command("domains")
    weir.monitor.ask("nmi")
    weir.wait_for(r"NMI: [12] so far on all CPUs; the chipset names no reason", 60)
    weir.command("domains")


def test_an_nmi_stops_weir_if_it_is_to(boot):
    weir = boot([CONTROL], cmdline="nmi=panic")
    weir.command("domains")
    weir.monitor.ask("nmi")
    weir.wait_for("panic on CPU 0: an NMI; the chipset names no reason", 30, panic_is_fine=True)
    weir.wait_for("Weir has stopped. An NMI was to do that", 30, panic_is_fine=True)
