/* The ACPI tables of a guest. See guestacpi.h. The layout of tables is from ACPI 6.5, chapter 5.2,
 * AML is from chapter 20, and resource descriptors are from section 6.4. */
#include <kernel/guest/devices/guestacpi.h>

#include <kernel/core/panic.h>
#include <kernel/guest/devices/legacy/vioapic.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/lib/checksum.h>
#include <kernel/lib/string.h>
#include <kernel/x86/apic.h>

/* The buffer to which tables, and the AML objects in them, are appended. */
struct writer {
	u8 *buf;
	u32 at;
};

/* Not inlined, since they have many callers, each of which runs only once per start of a domain. */
static __noinline void put8(struct writer *w, u32 value)
{
	BUG_ON(w->at >= GUEST_ACPI_MAX);
	w->buf[w->at++] = (u8)value;
}

static __noinline void put16(struct writer *w, u32 value)
{
	put8(w, value);
	put8(w, value >> 8);
}

static __noinline void put32(struct writer *w, u32 value)
{
	put16(w, value);
	put16(w, value >> 16);
}

static void put64(struct writer *w, u64 value)
{
	put32(w, (u32)value);
	put32(w, (u32)(value >> 32));
}

static void put_text(struct writer *w, const char *text)
{
	while (*text)
		put8(w, (u8)*text++);
}

/* Set the byte at `at` so that all bytes of [start, start + len) add up to 0. */
static void set_checksum(struct writer *w, u32 start, u32 len, u32 at)
{
	w->buf[at] = 0;
	w->buf[at] = (u8)-byte_sum(w->buf + start, len);
}

static gpaddr_t guest_address(u32 at)
{
	return GUEST_RSDP + at;
}

/* --- table headers, 5.2.6 ------------------------------------------------- */

#define TABLE_LENGTH 4
#define TABLE_CHECKSUM 9

static u32 begin_table(struct writer *w, const char *signature, u8 revision)
{
	u32 start;

	w->at = ALIGN_UP(w->at, 16u);
	start = w->at;
	put_text(w, signature);
	put32(w, 0); /* length; end_table() sets it */
	put8(w, revision);
	put8(w, 0);
	put_text(w, "WEIR  WEIRGST ");
	put32(w, 1);
	put_text(w, "WEIR");
	put32(w, 1);
	return start;
}

static void end_table(struct writer *w, u32 start)
{
	u32 end = w->at;

	w->at = start + TABLE_LENGTH;
	put32(w, end - start);
	w->at = end;
	set_checksum(w, start, end - start, start + TABLE_CHECKSUM);
}

/* --- AML ------------------------------------------------------------------ */

#define AML_NAME 0x08
#define AML_BYTE 0x0a
#define AML_DWORD 0x0c
#define AML_SCOPE 0x10
#define AML_BUFFER 0x11
#define AML_PACKAGE 0x12
#define AML_DEVICE 0x825b /* ExtOpPrefix, DeviceOp */

/* PkgLength includes its own bytes (20.2.4). It always has two bytes here: 12 bits are enough for
 * all of these objects. */
static u32 begin_package(struct writer *w)
{
	put16(w, 0);
	return w->at - 2;
}

static void end_package(struct writer *w, u32 start)
{
	u32 len = w->at - start;

	w->buf[start] = (u8)(0x40 | (len & 0xf));
	w->buf[start + 1] = (u8)(len >> 4);
}

static void put_name(struct writer *w, const char *segment)
{
	put8(w, AML_NAME);
	put_text(w, segment);
}

static void put_name_dword(struct writer *w, const char *segment, u32 value)
{
	put_name(w, segment);
	put8(w, AML_DWORD);
	put32(w, value);
}

/* A compressed id "PNPxxxx": "PNP" with five bits per letter, then the number, all big-endian. */
static void put_name_hid(struct writer *w, u16 product)
{
	u32 number = (u32)(product >> 8) | (u32)(product & 0xff) << 8;

	put_name_dword(w, "_HID", 0xd041u | number << 16);
}

/* _CRS: a buffer, preceded by its size. */
struct resources {
	u32 package, size_at;
};

static struct resources begin_resources(struct writer *w)
{
	struct resources r;

	put_name(w, "_CRS");
	put8(w, AML_BUFFER);
	r.package = begin_package(w);
	put8(w, AML_BYTE);
	r.size_at = w->at;
	put8(w, 0);
	return r;
}

static void end_resources(struct writer *w, struct resources r)
{
	put16(w, 0x79); /* end tag; checksum 0 means that there is none (6.4.2.9) */
	w->buf[r.size_at] = (u8)(w->at - r.size_at - 1);
	end_package(w, r.package);
}

/* 6.4.2.5; all 16 address bits are decoded. */
static void put_io_ports(struct writer *w, u16 first, u8 nr)
{
	put16(w, 0x0147);
	put16(w, first);
	put16(w, first);
	put8(w, 1);
	put8(w, nr);
}

#define RANGE_FIXED 0x0c /* both ends */

/* 6.4.3.5.3 */
static void put_bus_numbers(struct writer *w, u16 first, u16 last)
{
	put8(w, 0x88);
	put16(w, 13);
	put8(w, 2); /* bus numbers */
	put8(w, RANGE_FIXED);
	put8(w, 0);
	put16(w, 0);
	put16(w, first);
	put16(w, last);
	put16(w, 0);
	put16(w, last - first + 1u);
}

/* 6.4.3.5.2 */
static void put_memory_window(struct writer *w, u32 first, u32 last)
{
	put8(w, 0x87);
	put16(w, 23);
	put8(w, 0); /* memory */
	put8(w, RANGE_FIXED);
	put8(w, 1); /* writable, not cached */
	put32(w, 0);
	put32(w, first);
	put32(w, last);
	put32(w, 0);
	put32(w, last - first + 1);
}

/* 6.4.3.5.1 */
static void put_high_window(struct writer *w, u64 first, u64 last)
{
	put8(w, 0x8a);
	put16(w, 43);
	put8(w, 0); /* memory */
	put8(w, RANGE_FIXED);
	put8(w, 1); /* writable, not cached */
	put64(w, 0);
	put64(w, first);
	put64(w, last);
	put64(w, 0);
	put64(w, last - first + 1);
}

static u32 begin_device(struct writer *w, const char *segment)
{
	u32 start;

	put16(w, AML_DEVICE);
	start = begin_package(w);
	put_text(w, segment);
	return start;
}

/* --- tables --------------------------------------------------------------- */

/* It has no interrupt: drivers poll it. */
static void put_port_device(struct writer *w, const char *name, u16 hid, u32 uid, u16 first, u8 nr)
{
	u32 device = begin_device(w, name);
	struct resources r;

	put_name_hid(w, hid);
	put_name_dword(w, "_UID", uid);
	r = begin_resources(w);
	put_io_ports(w, first, nr);
	end_resources(w, r);
	end_package(w, device);
}

static void put_dsdt(struct writer *w, struct vwindow high, bool legacy)
{
	u32 table = begin_table(w, "DSDT", 2), package, scope, device;
	struct resources r;

	put_name(w, "_S5_");
	put8(w, AML_PACKAGE);
	package = begin_package(w);
	put8(w, 4);
	put8(w, AML_BYTE);
	put8(w, GUEST_SLP_TYP_S5);
	put8(w, 0);
	put16(w, 0); /* three ZeroOps */
	end_package(w, package);

	put8(w, AML_SCOPE);
	scope = begin_package(w);
	put_text(w, "_SB_");

	device = begin_device(w, "PCI0");
	put_name_hid(w, 0x0a03);
	put_name_dword(w, "_UID", 0);
	r = begin_resources(w);
	put_bus_numbers(w, 0, 0);
	put_io_ports(w, 0xcf8, 8);
	put_memory_window(w, VPCI_WINDOW_START, VPCI_WINDOW_END - 1);
	if (high.first < high.end)
		put_high_window(w, high.first, high.end - 1);
	end_resources(w, r);
	end_package(w, device);

	put_port_device(w, "COM1", 0x0501, 1, 0x3f8, 8);
	if (legacy)
		put_port_device(w, "RTC0", 0x0b00, 0, 0x70, 2);

	end_package(w, scope);
	end_table(w, table);
}

/* 5.2.3.2: a byte-wide port. */
static void put_port_address(struct writer *w, u16 port)
{
	put8(w, 1); /* system I/O */
	put8(w, 8);
	put8(w, 0);
	put8(w, 1);
	put64(w, port);
}

/* FADT, 5.2.9: offsets of the fields that are not zero. */
#define FADT_LENGTH 276
#define FADT_DSDT 40
#define FADT_BOOT_ARCH 109
#define FADT_FLAGS 112
#define FADT_RESET_REG 116
#define FADT_RESET_VALUE 128
#define FADT_MINOR 131
#define FADT_X_DSDT 140
#define FADT_SLEEP_CONTROL 244
#define FADT_SLEEP_STATUS 256
#define BOOT_ARCH_NO_VGA BIT(2)
#define BOOT_ARCH_NO_CMOS_RTC BIT(5)
#define FLAG_WBINVD BIT(0)
#define FLAG_PWR_BUTTON BIT(4) /* no fixed button */
#define FLAG_SLP_BUTTON BIT(5)
#define FLAG_RESET_REG_SUP BIT(10)
#define FLAG_HW_REDUCED_ACPI BIT(20)

static void put_fadt(struct writer *w, gpaddr_t dsdt_gpa, bool legacy)
{
	u32 table = begin_table(w, "FACP", 6);

	w->at = table + FADT_DSDT;
	put32(w, (u32)dsdt_gpa);
	w->at = table + FADT_BOOT_ARCH;
	put16(w, BOOT_ARCH_NO_VGA | (legacy ? 0 : BOOT_ARCH_NO_CMOS_RTC));
	w->at = table + FADT_FLAGS;
	put32(w, FLAG_WBINVD | FLAG_PWR_BUTTON | FLAG_SLP_BUTTON | FLAG_RESET_REG_SUP |
			 FLAG_HW_REDUCED_ACPI);
	w->at = table + FADT_RESET_REG;
	put_port_address(w, GUEST_RESET);
	w->at = table + FADT_RESET_VALUE;
	put8(w, GUEST_RESET_VALUE);
	w->at = table + FADT_MINOR;
	put8(w, 5);
	w->at = table + FADT_X_DSDT;
	put64(w, dsdt_gpa);
	w->at = table + FADT_SLEEP_CONTROL;
	put_port_address(w, GUEST_SLEEP_CONTROL);
	w->at = table + FADT_SLEEP_STATUS;
	put_port_address(w, GUEST_SLEEP_STATUS);
	w->at = table + FADT_LENGTH;
	end_table(w, table);
}

#define MADT_PCAT_COMPAT BIT(0)

/* 5.2.12. Ids below 255 have entries of this type in x2APIC mode too (5.2.12.12). */
static void put_madt(struct writer *w, u32 nr_vcpus, bool legacy)
{
	u32 table = begin_table(w, "APIC", 5);

	put32(w, (u32)APIC_DEFAULT_ADDRESS);
	put32(w, legacy ? MADT_PCAT_COMPAT : 0);
	for (u32 i = 0; i < nr_vcpus; i++) {
		put8(w, 0);
		put8(w, 8);
		put8(w, i); /* ACPI processor UID */
		put8(w, i); /* APIC id */
		put32(w, 1); /* enabled */
	}
	if (legacy) {
		put8(w, 1); /* the I/O APIC (5.2.12.3) */
		put8(w, 12);
		put16(w, 0); /* its id */
		put32(w, (u32)VIOAPIC_ADDRESS);
		put32(w, 0); /* its first interrupt */
		put8(w, 2); /* IRQ 0 of the ISA bus is on pin 2 (5.2.12.5) */
		put8(w, 10);
		put16(w, 0);
		put32(w, VIOAPIC_PIN_IRQ0);
		put16(w, 0); /* edge-triggered, active high, as on that bus */
		put8(w, 4); /* NMIs come to LINT1 of all processors (5.2.12.7) */
		put8(w, 6);
		put8(w, 0xff);
		put16(w, 0);
		put8(w, 1);
	}
	end_table(w, table);
}

#define RSDP_LENGTH 36
#define RSDP_V1_LENGTH 20

size_t guestacpi_make(u8 buf[GUEST_ACPI_MAX], u32 nr_vcpus, bool legacy, struct vwindow high)
{
	struct writer w = { buf, RSDP_LENGTH };
	u32 dsdt_at, fadt_at, madt_at, xsdt_at, end;

	memset(buf, 0, GUEST_ACPI_MAX);
	dsdt_at = ALIGN_UP(w.at, 16u);
	put_dsdt(&w, high, legacy);
	fadt_at = ALIGN_UP(w.at, 16u);
	put_fadt(&w, guest_address(dsdt_at), legacy);
	madt_at = ALIGN_UP(w.at, 16u);
	put_madt(&w, nr_vcpus, legacy);
	xsdt_at = begin_table(&w, "XSDT", 1);
	put64(&w, guest_address(fadt_at));
	put64(&w, guest_address(madt_at));
	end_table(&w, xsdt_at);
	end = w.at;

	w.at = 0;
	put_text(&w, "RSD PTR ");
	put8(&w, 0);
	put_text(&w, "WEIR  ");
	put8(&w, 2);
	put32(&w, 0); /* no RSDT */
	put32(&w, RSDP_LENGTH);
	put64(&w, guest_address(xsdt_at));
	set_checksum(&w, 0, RSDP_V1_LENGTH, 8);
	set_checksum(&w, 0, RSDP_LENGTH, 32);
	return end;
}
