/* ACPI's static tables. The firmware's tables are copied before they are checked, so that Weir uses
 * exactly what it has verified. */
#include <drivers/acpi.h>

#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/lib/checksum.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>

/* Root pointer, section 5.2.5.3. */
struct rsdp {
	char signature[8];
	u8 checksum; /* of the first 20 bytes */
	char oem_id[6];
	u8 revision;
	u32 rsdt;
	u32 length; /* from here on: revision 2 and later */
	u64 xsdt;
	u8 extended_checksum;
	u8 reserved[3];
} __packed;
_Static_assert(sizeof(struct rsdp) == 36, "ACPI 5.2.5.3");
#define RSDP_V1_LENGTH 20

#define MAX_TABLES 256

static struct acpi_header *tables[MAX_TABLES];
static u32 nr_tables, lost_tables;

/* A signature as text. Characters that are not printable would garble the log. */
struct signature_text {
	char text[5];
};

static struct signature_text signature_text(const char signature[4])
{
	struct signature_text n = { "????" };

	for (u32 i = 0; i < 4; i++)
		if (signature[i] > ' ' && signature[i] < 0x7f)
			n.text[i] = signature[i];
	return n;
}

/* A verified copy of the table at pa; NULL, and a line in the log, if it is broken. */
static struct acpi_header *copy_table(paddr_t pa)
{
	struct acpi_header header, *copy;
	struct signature_text name;

	phys_read(pa, &header, sizeof(header));
	name = signature_text(header.signature);
	if (header.length < sizeof(header) || header.length > ACPI_MAX_TABLE) {
		log_warn("ACPI: table %s at 0x%lx claims %u bytes; ignored", name.text,
			 (unsigned long)pa, header.length);
		return NULL;
	}
	copy = kzalloc(header.length);
	if (!copy) {
		log_warn("ACPI: no memory for table %s (%u bytes); it is ignored", name.text,
			 header.length);
		return NULL;
	}
	phys_read(pa, copy, header.length);
	if (copy->length != header.length || byte_sum(copy, header.length)) {
		log_warn("ACPI: table %s at 0x%lx has a wrong checksum; ignored (firmware update?)",
			 name.text, (unsigned long)pa);
		kfree(copy);
		return NULL;
	}
	return copy;
}

static void add_table(paddr_t pa)
{
	struct acpi_header *t;

	if (!pa)
		return;
	if (nr_tables == MAX_TABLES) {
		lost_tables++;
		return;
	}
	t = copy_table(pa);
	if (!t)
		return;
	log_debug("ACPI: %s at 0x%lx, %u bytes", signature_text(t->signature).text,
		  (unsigned long)pa, t->length);
	tables[nr_tables++] = t;
}

/* RSDT (section 5.2.7) or XSDT (5.2.8): an array of 32- or 64-bit addresses, not aligned. */
static bool walk_root(paddr_t pa, const char *signature, size_t entry_size)
{
	struct acpi_header *root = copy_table(pa);
	const u8 *p;

	if (!root)
		return false;
	if (memcmp(root->signature, signature, 4)) {
		log_warn("ACPI: found %s where the %s should be",
			 signature_text(root->signature).text, signature);
		kfree(root);
		return false;
	}
	p = (const u8 *)(root + 1);
	for (size_t left = root->length - sizeof(*root); left >= entry_size; left -= entry_size) {
		u64 table = 0;

		memcpy(&table, p, entry_size);
		add_table(table);
		p += entry_size;
	}
	kfree(root);
	if (lost_tables)
		log_warn("ACPI: %u tables more than MAX_TABLES (%d): they are ignored, and the "
			 "devices that they describe may be missing",
			 lost_tables, MAX_TABLES);
	return true;
}

/* --- the root pointer ----------------------------------------------------- */

/* Where it may lie on a PC (section 5.2.5.1). */
#define EBDA_SEGMENT 0x40e
#define EBDA_LENGTH 0x400
#define BIOS_START 0xe0000
#define BIOS_END 0x100000

static bool search_range(paddr_t start, paddr_t end, struct rsdp *r)
{
	for (paddr_t at = ALIGN_UP(start, 16); at + sizeof(*r) <= end; at += 16) {
		phys_read(at, r, sizeof(*r));
		if (memcmp(r->signature, "RSD PTR ", 8) || byte_sum(r, RSDP_V1_LENGTH))
			continue;
		log_info("ACPI: the boot loader passed no root pointer (RSDP); there is one at "
			 "0x%lx",
			 (unsigned long)at);
		return true;
	}
	return false;
}

static bool search_root_pointer(struct rsdp *r)
{
	u16 segment;
	paddr_t ebda;

	phys_read(EBDA_SEGMENT, &segment, sizeof(segment));
	ebda = (paddr_t)segment << 4;
	if (ebda >= 0x80000 && ebda < 0xa0000 && search_range(ebda, ebda + EBDA_LENGTH, r))
		return true;
	return search_range(BIOS_START, BIOS_END, r);
}

int acpi_init(const void *data, size_t length)
{
	struct rsdp rsdp = { .revision = 0 }, found;
	bool have_xsdt;

	for (u32 i = 0; i < nr_tables; i++)
		kfree(tables[i]);
	nr_tables = lost_tables = 0;
	if (length < RSDP_V1_LENGTH) {
		if (!search_root_pointer(&found)) {
			log_warn("ACPI: the boot loader passed no root pointer (RSDP), and the "
				 "BIOS has none: no further CPUs, no IOMMU; start Weir by GRUB");
			return -ENODEV;
		}
		data = &found;
		length = sizeof(found);
	}
	memcpy(&rsdp, data, MIN(length, sizeof(rsdp)));
	if (memcmp(rsdp.signature, "RSD PTR ", 8) || byte_sum(data, RSDP_V1_LENGTH)) {
		log_warn("ACPI: the root pointer (RSDP) has a wrong signature or checksum");
		return -ENODEV;
	}
	have_xsdt = rsdp.revision >= 2 && length >= sizeof(rsdp) && rsdp.xsdt;
	if (have_xsdt &&
	    (rsdp.length < sizeof(rsdp) || rsdp.length > length || byte_sum(data, rsdp.length))) {
		log_warn("ACPI: the root pointer's extension is broken; its XSDT is ignored");
		have_xsdt = false;
	}
	if (have_xsdt && walk_root(rsdp.xsdt, "XSDT", 8))
		return 0;
	if (rsdp.rsdt && walk_root(rsdp.rsdt, "RSDT", 4))
		return 0;
	log_warn("ACPI: no usable root table; no further CPUs, no IOMMU");
	return -ENODEV;
}

const struct acpi_header *acpi_find(const char signature[4])
{
	for (u32 i = 0; i < nr_tables; i++)
		if (!memcmp(tables[i]->signature, signature, 4))
			return tables[i];
	return NULL;
}

/* --- MADT, section 5.2.12 ------------------------------------------------- */

struct madt {
	struct acpi_header header;
	u32 lapic_address;
	u32 flags;
} __packed;
_Static_assert(sizeof(struct madt) == 44, "ACPI 5.2.12");
#define MADT_PCAT_COMPAT BIT(0)

enum madt_type {
	MADT_LOCAL_APIC = 0,
	MADT_IO_APIC = 1,
	MADT_LOCAL_APIC_NMI = 4,
	MADT_LOCAL_APIC_ADDRESS = 5,
	MADT_LOCAL_X2APIC = 9,
	MADT_LOCAL_X2APIC_NMI = 10,
};

struct madt_entry {
	u8 type, length;
} __packed;

struct madt_local_apic {
	struct madt_entry entry;
	u8 processor_uid;
	u8 apic_id;
	u32 flags;
} __packed;
_Static_assert(sizeof(struct madt_local_apic) == 8, "ACPI 5.2.12.2");
#define MADT_CPU_ENABLED BIT(0)

struct madt_io_apic {
	struct madt_entry entry;
	u8 id;
	u8 reserved;
	u32 address;
	u32 gsi_base;
} __packed;
_Static_assert(sizeof(struct madt_io_apic) == 12, "ACPI 5.2.12.3");

struct madt_local_apic_address {
	struct madt_entry entry;
	u16 reserved;
	u64 address;
} __packed;
_Static_assert(sizeof(struct madt_local_apic_address) == 12, "ACPI 5.2.12.8");

struct madt_local_x2apic {
	struct madt_entry entry;
	u16 reserved;
	u32 apic_id;
	u32 flags;
	u32 processor_uid;
} __packed;
_Static_assert(sizeof(struct madt_local_x2apic) == 16, "ACPI 5.2.12.12");

struct madt_local_apic_nmi {
	struct madt_entry entry;
	u8 processor_uid; /* 0xff: all */
	u16 flags;
	u8 pin;
} __packed;
_Static_assert(sizeof(struct madt_local_apic_nmi) == 6, "ACPI 5.2.12.7");
#define MADT_POLARITY MASK(1, 0)
#define MADT_ACTIVE_LOW 3

struct madt_local_x2apic_nmi {
	struct madt_entry entry;
	u16 flags;
	u32 processor_uid; /* all ones: all */
	u8 pin;
	u8 reserved[3];
} __packed;
_Static_assert(sizeof(struct madt_local_x2apic_nmi) == 12, "ACPI 5.2.12.13");

static void add_cpu(struct acpi_madt *madt, u32 apic_id, u32 flags, u32 uid)
{
	if (!(flags & MADT_CPU_ENABLED))
		return;
	/* Some firmware lists a CPU both as a local APIC and as an x2APIC. */
	for (u32 i = 0; i < madt->nr_cpus; i++)
		if (madt->apic_id[i] == apic_id)
			return;
	if (madt->nr_cpus == ACPI_MAX_CPUS) {
		madt->lost_cpus++;
		return;
	}
	madt->processor_uid[madt->nr_cpus] = uid;
	madt->apic_id[madt->nr_cpus++] = apic_id;
}

/* Always edge-triggered, whatever the flags say (SDM vol. 3, 11.5.1). */
static void add_nmi(struct acpi_madt *madt, struct acpi_nmi nmi, u16 flags)
{
	nmi.active_low = FIELD_GET(MADT_POLARITY, flags) == MADT_ACTIVE_LOW;
	if (madt->nr_nmis == ACPI_MAX_NMIS)
		madt->lost_nmis++;
	else
		madt->nmi[madt->nr_nmis++] = nmi;
}

static void add_ioapic(struct acpi_madt *madt, const struct madt_io_apic *e)
{
	if (madt->nr_ioapics == ACPI_MAX_IOAPICS) {
		madt->lost_ioapics++;
		return;
	}
	madt->ioapic[madt->nr_ioapics++] = (struct acpi_ioapic){ e->id, e->address, e->gsi_base };
}

static void parse_entries(const struct acpi_header *table, struct acpi_madt *madt)
{
	const u8 *p = (const u8 *)table;
	size_t at = sizeof(struct madt);

	while (table->length - at >= sizeof(struct madt_entry)) {
		struct madt_entry e;
		union {
			struct madt_local_apic lapic;
			struct madt_io_apic ioapic;
			struct madt_local_apic_nmi nmi;
			struct madt_local_apic_address address;
			struct madt_local_x2apic x2apic;
			struct madt_local_x2apic_nmi x2apic_nmi;
		} u;
		static const u8 needed[] = {
			[MADT_LOCAL_APIC] = sizeof(u.lapic),
			[MADT_IO_APIC] = sizeof(u.ioapic),
			[MADT_LOCAL_APIC_NMI] = sizeof(u.nmi),
			[MADT_LOCAL_APIC_ADDRESS] = sizeof(u.address),
			[MADT_LOCAL_X2APIC] = sizeof(u.x2apic),
			[MADT_LOCAL_X2APIC_NMI] = sizeof(u.x2apic_nmi),
		};

		memcpy(&e, p + at, sizeof(e));
		if (e.length < sizeof(e) || e.length > table->length - at ||
		    (e.type < ARRAY_SIZE(needed) && e.length < needed[e.type])) {
			log_warn("ACPI: MADT entry of type %u at offset %zu claims %u bytes; "
				 "the rest is ignored",
				 e.type, at, e.length);
			return;
		}
		if (e.type < ARRAY_SIZE(needed) && needed[e.type])
			memcpy(&u, p + at, needed[e.type]);
		if (e.type == MADT_LOCAL_APIC)
			add_cpu(madt, u.lapic.apic_id, u.lapic.flags, u.lapic.processor_uid);
		else if (e.type == MADT_LOCAL_X2APIC)
			add_cpu(madt, u.x2apic.apic_id, u.x2apic.flags, u.x2apic.processor_uid);
		else if (e.type == MADT_LOCAL_APIC_NMI)
			add_nmi(madt,
				(struct acpi_nmi){ .processor_uid = u.nmi.processor_uid,
						   .all = u.nmi.processor_uid == 0xff,
						   .pin = u.nmi.pin },
				u.nmi.flags);
		else if (e.type == MADT_LOCAL_X2APIC_NMI)
			add_nmi(madt,
				(struct acpi_nmi){ .processor_uid = u.x2apic_nmi.processor_uid,
						   .all = u.x2apic_nmi.processor_uid == ~0u,
						   .pin = u.x2apic_nmi.pin },
				u.x2apic_nmi.flags);
		else if (e.type == MADT_IO_APIC)
			add_ioapic(madt, &u.ioapic);
		else if (e.type == MADT_LOCAL_APIC_ADDRESS)
			madt->lapic_address = u.address.address;
		at += e.length;
	}
}

void acpi_parse_madt(const struct acpi_header *table, struct acpi_madt *madt)
{
	struct madt head;

	memset(madt, 0, sizeof(*madt));
	if (table->length < sizeof(head)) {
		log_warn("ACPI: MADT has only %u bytes; ignored", table->length);
		return;
	}
	memcpy(&head, table, sizeof(head));
	madt->lapic_address = head.lapic_address;
	madt->has_8259 = head.flags & MADT_PCAT_COMPAT;
	parse_entries(table, madt);
	if (madt->lost_cpus)
		log_warn("ACPI: MADT lists %u CPUs more than ACPI_MAX_CPUS (%d): they stay off",
			 madt->lost_cpus, ACPI_MAX_CPUS);
	if (madt->lost_ioapics)
		log_warn("ACPI: MADT lists %u I/O APICs more than ACPI_MAX_IOAPICS (%d): what the "
			 "firmware has enabled there stays enabled",
			 madt->lost_ioapics, ACPI_MAX_IOAPICS);
	if (madt->lost_nmis)
		log_warn("ACPI: MADT lists %u NMI pins more than ACPI_MAX_NMIS (%d): NMIs that "
			 "arrive there are not seen",
			 madt->lost_nmis, ACPI_MAX_NMIS);
}

/* --- MCFG ----------------------------------------------------------------- */

struct mcfg_entry {
	u64 address;
	u16 segment;
	u8 first_bus, last_bus;
	u32 reserved;
} __packed;
_Static_assert(sizeof(struct mcfg_entry) == 16, "PCI firmware specification, table 4-3");
#define MCFG_ENTRIES (sizeof(struct acpi_header) + 8)

u32 acpi_parse_mcfg(const struct acpi_header *table, struct acpi_ecam *ecam, u32 max)
{
	const u8 *p = (const u8 *)table;
	u32 nr = 0;

	for (size_t at = MCFG_ENTRIES; at + sizeof(struct mcfg_entry) <= table->length;
	     at += sizeof(struct mcfg_entry)) {
		struct mcfg_entry e;

		memcpy(&e, p + at, sizeof(e));
		if (e.last_bus < e.first_bus || !IS_ALIGNED(e.address, 1UL << 20) || !e.address) {
			log_warn("ACPI: MCFG entry for segment %u is invalid "
				 "(buses %u to %u at 0x%lx); ignored",
				 e.segment, e.first_bus, e.last_bus, (unsigned long)e.address);
			continue;
		}
		if (nr < max)
			ecam[nr] = (struct acpi_ecam){
				.address = e.address,
				.segment = e.segment,
				.first_bus = e.first_bus,
				.last_bus = e.last_bus,
			};
		nr++;
	}
	return nr;
}

/* --- FADT ----------------------------------------------------------------- */

#define FADT_PM_TMR_BLK 76
#define FADT_PM_TMR_LEN 91
#define FADT_FLAGS 112
#define FADT_TMR_VAL_EXT BIT(8)

u16 acpi_pm_timer_port(const struct acpi_header *fadt, unsigned int *bits)
{
	const u8 *p = (const u8 *)fadt;
	u32 port, flags;

	*bits = 24;
	if (fadt->length < FADT_FLAGS + sizeof(flags))
		return 0;
	memcpy(&port, p + FADT_PM_TMR_BLK, sizeof(port));
	memcpy(&flags, p + FADT_FLAGS, sizeof(flags));
	if (p[FADT_PM_TMR_LEN] != 4 || !port || port > 0xfffc)
		return 0;
	if (flags & FADT_TMR_VAL_EXT)
		*bits = 32;
	return (u16)port;
}

/* --- HPET ----------------------------------------------------------------- */

#define HPET_ADDRESS_SPACE 40 /* 0: memory */
#define HPET_ADDRESS 44

paddr_t acpi_hpet_address(const struct acpi_header *hpet)
{
	const u8 *p = (const u8 *)hpet;
	u64 address;

	if (hpet->length < HPET_ADDRESS + sizeof(address) || p[HPET_ADDRESS_SPACE])
		return 0;
	memcpy(&address, p + HPET_ADDRESS, sizeof(address));
	return IS_ALIGNED(address, PAGE_SIZE / 4) ? address : 0;
}
