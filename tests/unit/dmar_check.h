/* What must hold for whatever is parsed from any DMAR table, and the bridges of the machine that
 * has it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <iommu/dmar.h>
#include <kernel/lib/string.h>

#include <cmocka.h>

static inline bool bridge(u16 segment, u16 bdf, u8 *secondary, u8 *subordinate)
{
	(void)segment;
	/* 00:1c.0 leads to buses 2 to 5, 02:00.0 to 3 to 4. */
	if (bdf != PCI_BDF(0, 0x1c, 0) && bdf != PCI_BDF(2, 0, 0))
		return false;
	*secondary = bdf == PCI_BDF(2, 0, 0) ? 3 : 2;
	*subordinate = bdf == PCI_BDF(2, 0, 0) ? 4 : 5;
	return true;
}

static inline u16 word_at(const u8 *p)
{
	return (u16)(p[0] | p[1] << 8);
}

/* The n-th structure of a table; NULL after the last complete one. */
static inline const u8 *structure_at(const u8 *t, size_t length, unsigned int n)
{
	for (size_t at = 48; at + 4 <= length; at += word_at(t + at + 2)) {
		if (word_at(t + at + 2) < 4 || word_at(t + at + 2) > length - at)
			return NULL;
		if (!n--)
			return t + at;
	}
	return NULL;
}

/* True if a structure whose scopes begin at `from` names function `bdf` of bus 0, with one hop. */
static inline bool names_device(const u8 *s, size_t from, u8 bdf)
{
	for (size_t at = from; at + 8 <= word_at(s + 2) && s[at + 1] >= 8 && !(s[at + 1] % 2);
	     at += s[at + 1]) {
		if (at + s[at + 1] > word_at(s + 2))
			return false;
		if ((s[at] == 1 || s[at] == 2 || s[at] == 5) && s[at + 1] == 8 && s[at + 5] == 0 &&
		    s[at + 6] < 32 && s[at + 7] < 8 && bdf == (s[at + 6] << 3 | s[at + 7]))
			return true;
	}
	return false;
}

/* What the table says about a device on bus 0, read by the simplest code: the address of its unit's
 * registers goes to *base. */
static inline bool unit_in_table(const u8 *t, size_t length, struct pci_id dev, u64 *base)
{
	const u8 *s;

	for (unsigned int n = 0; (s = structure_at(t, length, n)); n++) {
		if (word_at(s) || word_at(s + 2) < 16 || word_at(s + 6) != dev.segment ||
		    !names_device(s, 16, (u8)dev.bdf))
			continue;
		memcpy(base, s + 8, 8);
		return true;
	}
	return false;
}

static inline bool reserved_in_table(const u8 *t, size_t length, struct pci_id dev)
{
	const u8 *s;

	for (unsigned int n = 0; (s = structure_at(t, length, n)); n++)
		if (word_at(s) == 1 && word_at(s + 2) >= 24 && word_at(s + 6) == dev.segment &&
		    names_device(s, 24, (u8)dev.bdf))
			return true;
	return false;
}

/* `d` was parsed from the table. It is within its limits; no device is assigned to another unit
 * than the table says, and no device with reserved memory is taken for one without. Otherwise the
 * device's DMA would pass a unit that is not enabled, or none. */
static inline void check_dmar(const u8 *t, size_t length, const struct dmar *d)
{
	assert_in_range(d->nr_units, 1, DMAR_MAX_UNITS);
	assert_in_range(d->nr_scopes, 0, DMAR_MAX_SCOPES);
	assert_in_range(d->nr_reserved, 0, DMAR_MAX_RESERVED);
	assert_in_range(d->nr_ats, 0, DMAR_MAX_ATS);
	for (u32 i = 0; i < d->nr_units; i++) {
		assert_true(d->unit[i].base && IS_ALIGNED(d->unit[i].base, PAGE_SIZE));
		assert_true(d->unit[i].size >= PAGE_SIZE && d->unit[i].size <= PAGE_SIZE << 15);
		for (u32 k = 0; k < i; k++)
			assert_true(d->unit[k].base != d->unit[i].base);
	}
	for (u32 i = 0; i < d->nr_scopes; i++)
		assert_true(d->scope[i].unit < d->nr_units || d->scope[i].unit == DMAR_NO_UNIT);
	for (u32 i = 0; i < 256; i++) {
		struct pci_id dev = { 0, (u16)i };
		int unit = dmar_unit_of(d, dev);
		u64 base;

		assert_in_range(unit + 1, 0, d->nr_units);
		if (unit >= 0 && unit_in_table(t, length, dev, &base))
			assert_int_equal(d->unit[unit].base, base);
		if (reserved_in_table(t, length, dev))
			assert_non_null(dmar_reserved_of(d, dev));
	}
}
