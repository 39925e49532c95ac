/* See kernel/guest/devices/guestacpi.h. Tables by their offsets in ACPI 6.5, chapter 5.2; AML by chapter 20, resources by 6.4. */
#include <kernel/guest/devices/guestacpi.h>

#include <kernel/core/panic.h>
#include <kernel/lib/string.h>

/* Tables grow in a buffer, and AML objects in them. */
struct writer {
	u8 *buf;
	u32 at;
};

static void put(struct writer *w, u64 value, unsigned int size)
{
	BUG_ON(w->at + size > GUEST_ACPI_MAX);
	for (unsigned int i = 0; i < size; i++)
		w->buf[w->at++] = (u8)(value >> 8 * i);
}

static void put_text(struct writer *w, const char *text)
{
	while (*text)
		put(w, (u8)*text++, 1);
}

/* So that all bytes of [start, start + len) add up to 0. */
static void set_checksum(struct writer *w, u32 start, u32 len, u32 at)
{
	u8 sum = 0;

	w->buf[at] = 0;
	for (u32 i = 0; i < len; i++)
		sum = (u8)(sum + w->buf[start + i]);
	w->buf[at] = (u8)-sum;
}

static gpaddr_t address(u32 at)
{
	return GUEST_RSDP + at;
}

/* --- table headers, 5.2.6 --------------------------------------------------------------------------------------------- */

#define TABLE_LENGTH 4
#define TABLE_CHECKSUM 9

static u32 begin_table(struct writer *w, const char *signature, u8 revision)
{
	u32 start;

	w->at = ALIGN_UP(w->at, 16u);
	start = w->at;
	put_text(w, signature);
	put(w, 0, 4); /* length: end_table() */
	put(w, revision, 1);
	put(w, 0, 1);
	put_text(w, "WEIR  WEIRGST ");
	put(w, 1, 4);
	put_text(w, "WEIR");
	put(w, 1, 4);
	return start;
}

static void end_table(struct writer *w, u32 start)
{
	u32 end = w->at;

	w->at = start + TABLE_LENGTH;
	put(w, end - start, 4);
	w->at = end;
	set_checksum(w, start, end - start, start + TABLE_CHECKSUM);
}

/* --- AML --------------------------------------------------------------------------------------------------------------- */

#define AML_NAME 0x08
#define AML_BYTE 0x0a
#define AML_DWORD 0x0c
#define AML_SCOPE 0x10
#define AML_BUFFER 0x11
#define AML_PACKAGE 0x12
#define AML_DEVICE 0x825b /* ExtOpPrefix, DeviceOp */

/* PkgLength counts itself (20.2.4). Two bytes always: 12 bits are more than any object here has. */
static u32 begin_package(struct writer *w)
{
	put(w, 0, 2);
	return w->at - 2;
}

static void end_package(struct writer *w, u32 start)
{
	u32 len = w->at - start;

	w->buf[start] = (u8)(0x40 | (len & 0xf));
	w->buf[start + 1] = (u8)(len >> 4);
}

static void name(struct writer *w, const char *segment)
{
	put(w, AML_NAME, 1);
	put_text(w, segment);
}

static void name_dword(struct writer *w, const char *segment, u32 value)
{
	name(w, segment);
	put(w, AML_DWORD, 1);
	put(w, value, 4);
}

/* The compressed form of "PNPxxxx": "PNP" in five bits a letter, then the number, all big-endian. */
static void name_hid(struct writer *w, u16 product)
{
	name_dword(w, "_HID", 0xd041u | (u32)(product >> 8) << 16 | (u32)(product & 0xff) << 24);
}

/* _CRS: a buffer whose size stands in front of it. */
struct resources {
	u32 package, size_at;
};

static struct resources begin_resources(struct writer *w)
{
	struct resources r;

	name(w, "_CRS");
	put(w, AML_BUFFER, 1);
	r.package = begin_package(w);
	put(w, AML_BYTE, 1);
	r.size_at = w->at;
	put(w, 0, 1);
	return r;
}

static void end_resources(struct writer *w, struct resources r)
{
	put(w, 0x79, 2); /* end tag; a checksum of 0 is none, 6.4.2.9 */
	w->buf[r.size_at] = (u8)(w->at - r.size_at - 1);
	end_package(w, r.package);
}

/* 6.4.2.5, all 16 bits decoded. */
static void io_ports(struct writer *w, u16 first, u8 nr)
{
	put(w, 0x0147, 2);
	put(w, first, 2);
	put(w, first, 2);
	put(w, 1, 1);
	put(w, nr, 1);
}

#define RANGE_FIXED 0x0c /* both ends */

/* 6.4.3.5.3 */
static void bus_numbers(struct writer *w, u16 first, u16 last)
{
	put(w, 0x88, 1);
	put(w, 13, 2);
	put(w, 2, 1); /* bus numbers */
	put(w, RANGE_FIXED, 1);
	put(w, 0, 1);
	put(w, 0, 2);
	put(w, first, 2);
	put(w, last, 2);
	put(w, 0, 2);
	put(w, last - first + 1u, 2);
}

/* 6.4.3.5.2 */
static void memory_window(struct writer *w, u32 first, u32 last)
{
	put(w, 0x87, 1);
	put(w, 23, 2);
	put(w, 0, 1); /* memory */
	put(w, RANGE_FIXED, 1);
	put(w, 1, 1); /* writable, not cached */
	put(w, 0, 4);
	put(w, first, 4);
	put(w, last, 4);
	put(w, 0, 4);
	put(w, last - first + 1, 4);
}

static u32 begin_device(struct writer *w, const char *segment)
{
	u32 start;

	put(w, AML_DEVICE, 2);
	start = begin_package(w);
	put_text(w, segment);
	return start;
}

/* --- tables ------------------------------------------------------------------------------------------------------------ */

static void dsdt(struct writer *w)
{
	u32 table = begin_table(w, "DSDT", 2), package, scope, device;
	struct resources r;

	name(w, "_S5_");
	put(w, AML_PACKAGE, 1);
	package = begin_package(w);
	put(w, 4, 1);
	put(w, AML_BYTE, 1);
	put(w, GUEST_SLP_TYP_S5, 1);
	put(w, 0, 3); /* three times ZeroOp */
	end_package(w, package);

	put(w, AML_SCOPE, 1);
	scope = begin_package(w);
	put_text(w, "_SB_");

	device = begin_device(w, "PCI0");
	name_hid(w, 0x0a03);
	name_dword(w, "_UID", 0);
	r = begin_resources(w);
	bus_numbers(w, 0, 0);
	io_ports(w, 0xcf8, 8);
	memory_window(w, GUEST_PCI_WINDOW_START, GUEST_PCI_WINDOW_END - 1);
	end_resources(w, r);
	end_package(w, device);

	/* Without an interrupt: drivers poll it. */
	device = begin_device(w, "COM1");
	name_hid(w, 0x0501);
	name_dword(w, "_UID", 1);
	r = begin_resources(w);
	io_ports(w, 0x3f8, 8);
	end_resources(w, r);
	end_package(w, device);

	end_package(w, scope);
	end_table(w, table);
}

/* 5.2.3.2: a byte-wide port. */
static void port_address(struct writer *w, u16 port)
{
	put(w, 1, 1); /* system I/O */
	put(w, 8, 1);
	put(w, 0, 1);
	put(w, 1, 1);
	put(w, port, 8);
}

/* FADT, 5.2.9: offsets of what is not zero. */
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

static void fadt(struct writer *w, gpaddr_t dsdt_gpa)
{
	u32 table = begin_table(w, "FACP", 6);

	w->at = table + FADT_DSDT;
	put(w, dsdt_gpa, 4);
	w->at = table + FADT_BOOT_ARCH;
	put(w, BOOT_ARCH_NO_VGA | BOOT_ARCH_NO_CMOS_RTC, 2);
	w->at = table + FADT_FLAGS;
	put(w, FLAG_WBINVD | FLAG_PWR_BUTTON | FLAG_SLP_BUTTON | FLAG_RESET_REG_SUP | FLAG_HW_REDUCED_ACPI,
	    4);
	w->at = table + FADT_RESET_REG;
	port_address(w, GUEST_RESET);
	w->at = table + FADT_RESET_VALUE;
	put(w, GUEST_RESET_VALUE, 1);
	w->at = table + FADT_MINOR;
	put(w, 5, 1);
	w->at = table + FADT_X_DSDT;
	put(w, dsdt_gpa, 8);
	w->at = table + FADT_SLEEP_CONTROL;
	port_address(w, GUEST_SLEEP_CONTROL);
	w->at = table + FADT_SLEEP_STATUS;
	port_address(w, GUEST_SLEEP_STATUS);
	w->at = table + FADT_LENGTH;
	end_table(w, table);
}

/* 5.2.12. Ids below 255 have entries of this type in x2APIC mode too (5.2.12.12). */
static void madt(struct writer *w, u32 nr_vcpus)
{
	u32 table = begin_table(w, "APIC", 5);

	put(w, 0xfee00000, 4);
	put(w, 0, 4); /* no PICs */
	for (u32 i = 0; i < nr_vcpus; i++) {
		put(w, 0, 1);
		put(w, 8, 1);
		put(w, i, 1); /* ACPI processor UID */
		put(w, i, 1); /* APIC id */
		put(w, 1, 4); /* enabled */
	}
	end_table(w, table);
}

#define RSDP_LENGTH 36
#define RSDP_V1_LENGTH 20

size_t guestacpi_make(u8 buf[GUEST_ACPI_MAX], u32 nr_vcpus)
{
	struct writer w = { buf, RSDP_LENGTH };
	u32 dsdt_at, fadt_at, madt_at, xsdt_at, end;

	memset(buf, 0, GUEST_ACPI_MAX);
	dsdt_at = ALIGN_UP(w.at, 16u);
	dsdt(&w);
	fadt_at = ALIGN_UP(w.at, 16u);
	fadt(&w, address(dsdt_at));
	madt_at = ALIGN_UP(w.at, 16u);
	madt(&w, nr_vcpus);
	xsdt_at = begin_table(&w, "XSDT", 1);
	put(&w, address(fadt_at), 8);
	put(&w, address(madt_at), 8);
	end_table(&w, xsdt_at);
	end = w.at;

	w.at = 0;
	put_text(&w, "RSD PTR ");
	put(&w, 0, 1);
	put_text(&w, "WEIR  ");
	put(&w, 2, 1);
	put(&w, 0, 4); /* no RSDT */
	put(&w, RSDP_LENGTH, 4);
	put(&w, address(xsdt_at), 8);
	set_checksum(&w, 0, RSDP_V1_LENGTH, 8);
	set_checksum(&w, 0, RSDP_LENGTH, 32);
	return end;
}
