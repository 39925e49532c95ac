/* ACPI's static tables (ACPI specification 6.5, chapter 5.2): found, verified, copied. No AML. */
#pragma once

#include <kernel/lib/compiler.h>

/* Section 5.2.6. */
struct acpi_header {
	char signature[4];
	u32 length;
	u8 revision;
	u8 checksum;
	char oem_id[6];
	char oem_table_id[8];
	u32 oem_revision;
	char creator_id[4];
	u32 creator_revision;
} __packed;
_Static_assert(sizeof(struct acpi_header) == 36, "ACPI 5.2.6");

/* A larger table is considered broken. */
#define ACPI_MAX_TABLE (1u << 20)

/* Follow the root pointer (RSDP) and copy every table it leads to. A broken table is named in the
 * log and ignored. -ENODEV: no usable root. Boot, after the allocator is up. */
int acpi_init(const void *rsdp, size_t length);
/* The verified copy of the first table with this signature; its length is in its header. NULL:
 * there is none. */
const struct acpi_header *acpi_find(const char signature[4]);

/* --- MADT, section 5.2.12 ------------------------------------------------- */

struct acpi_ioapic {
	u8 id;
	paddr_t address;
	u32 gsi_base;
};

#define ACPI_MAX_CPUS 1024 /* more than Weir starts: with smt=off some are left out */
#define ACPI_MAX_IOAPICS 64
#define ACPI_MAX_NMIS 256

/* A pin of local APICs at which NMIs arrive. */
struct acpi_nmi {
	u32 processor_uid;
	bool all; /* of every processor */
	u8 pin; /* LINT0 or LINT1 */
	bool active_low;
};

struct acpi_madt {
	bool has_8259;
	paddr_t lapic_address;
	u32 nr_cpus; /* enabled ones */
	u32 apic_id[ACPI_MAX_CPUS];
	u32 processor_uid[ACPI_MAX_CPUS];
	u32 nr_nmis;
	struct acpi_nmi nmi[ACPI_MAX_NMIS];
	u32 nr_ioapics;
	struct acpi_ioapic ioapic[ACPI_MAX_IOAPICS];
	u32 lost_cpus, lost_ioapics, lost_nmis; /* beyond the limits */
};

/* Decode a MADT. A broken entry is named in the log and ends the list; what does not fit is counted
 * and named once. */
void acpi_parse_madt(const struct acpi_header *table, struct acpi_madt *madt);

/* --- MCFG, PCI firmware specification 3.3, section 4.1.2 ------------------ */

struct acpi_ecam {
	paddr_t address; /* of bus 0, even if first_bus is not 0 */
	u16 segment;
	u8 first_bus, last_bus;
};

/* Decode the first `max` valid entries; returns how many valid ones the table has. Invalid ones are
 * logged and left out. */
u32 acpi_parse_mcfg(const struct acpi_header *table, struct acpi_ecam *ecam, u32 max);

/* --- FADT, section 5.2.9: what the calibration needs ---------------------- */

/* I/O port of the power-management timer (3.579545 MHz), or 0; *bits is 24 or 32. */
u16 acpi_pm_timer_port(const struct acpi_header *fadt, unsigned int *bits);

/* --- HPET ----------------------------------------------------------------- */

/* The registers of the HPET (IA-PC HPET 1.0a, 3.2.4); 0: the table names none in memory. */
paddr_t acpi_hpet_address(const struct acpi_header *hpet);
