/* The MP table, which kernels without ACPI look for: it must say what the MADT says. */
#include <tests/guests/guest.h>

/* MultiProcessor Specification 1.4, chapter 4. */
enum { PROCESSOR, BUS, IO_APIC, IO_INTERRUPT, LOCAL_INTERRUPT };

static u32 dword(const volatile u8 *p)
{
	return (u32)(p[0] | p[1] << 8 | p[2] << 16) | (u32)p[3] << 24;
}

static const u8 *at(u64 address)
{
	const u8 *p = (const u8 *)address;

	/* The compiler takes addresses in page 0 for null pointers. */
	__asm__("" : "+r"(p));
	return p;
}

static u8 sum(const u8 *p, u32 len)
{
	u8 s = 0;

	while (len--)
		s = (u8)(s + *p++);
	return s;
}

static const u8 *search(u64 first, u64 last)
{
	for (; first < last; first += 16)
		if (dword(at(first)) == 0x5f504d5f && !sum(at(first), 16))
			return at(first);
	return NULL;
}

/* 4.1: in the first KiB of the extended BIOS data area, or in the BIOS. */
static const u8 *find_table(void)
{
	u64 ebda = ((u64)at(0x40e)[0] | (u64)at(0x40f)[0] << 8) << 4;
	const u8 *f = search(ebda, ebda + 1024);

	if (!f)
		f = search(0xf0000, 0x100000);
	return f ? at(dword(f + 4)) : NULL;
}

/* The number of entries of this type, and the last one of them. */
static u32 count(const u8 *table, u8 type, const u8 **last)
{
	const u8 *p = table + 44;
	u32 nr = 0;

	for (; p < table + (table[4] | table[5] << 8); p += *p == PROCESSOR ? 20 : 8)
		if (*p == type) {
			*last = p;
			nr++;
		}
	return nr;
}

/* The pin of an IRQ of the ISA bus. */
static u32 pin_of(const u8 *table, u8 irq)
{
	const u8 *p = table + 44;

	for (; p < table + (table[4] | table[5] << 8); p += *p == PROCESSOR ? 20 : 8)
		if (*p == IO_INTERRUPT && !p[1] && p[5] == irq)
			return p[7];
	return ~0u;
}

static const u8 *madt_entry(const u8 *madt, u8 type)
{
	for (const u8 *p = madt + 44; p < madt + dword(madt + 4); p += p[1])
		if (*p == type)
			return p;
	return NULL;
}

static void compare(const u8 *table, const u8 *madt)
{
	const u8 *last = NULL, *ioapic = madt_entry(madt, 1), *override = madt_entry(madt, 2);
	u32 version;

	if (under_weir)
		CHECK_EQ("mptable: the processors are those of the MADT",
			 count(table, PROCESSOR, &last), madt_apics(madt));
	CHECK_EQ("mptable: one I/O APIC", count(table, IO_APIC, &last), 1);
	CHECK("mptable: which the MADT has, too",
	      ioapic && dword(last + 4) == dword(ioapic + 4) && last[1] == ioapic[2]);
	*(volatile u32 *)0xfec00000UL = 1;
	version = *(volatile u32 *)0xfec00010UL & 0xff;
	if (under_weir)
		CHECK_EQ("mptable: its version is in its register", last[2], version);
	CHECK("mptable: IRQ 0 is on the pin of the MADT",
	      override && !override[3] && pin_of(table, 0) == dword(override + 4));
	CHECK_EQ("mptable: IRQ 4 is on its own", pin_of(table, 4), 4);
	CHECK_EQ("mptable: the 8259As and NMIs come to the processors",
		 count(table, LOCAL_INTERRUPT, &last), 2);
}

void test_mptable(void)
{
	const u8 *table = find_table(), *madt = find_madt();

	CHECK("mptable: there is one", table && madt);
	if (!table || !madt)
		return;
	CHECK("mptable: its signature", dword(table) == 0x504d4350); /* "PCMP" */
	CHECK_EQ("mptable: its checksum", sum(table, (u32)(table[4] | table[5] << 8)), 0);
	CHECK_EQ("mptable: the local APICs", dword(table + 36), 0xfee00000);
	compare(table, madt);
}
