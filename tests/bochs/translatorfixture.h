/* A translator on a fake machine, with what builds its tables, for host tests. */
#pragma once

#include <bochs/testmachine.h>
#include <bochs/unit/translator.h>

namespace bochs
{

/* Paging entries */
constexpr uint64_t R = 1, W = 2, RW = 3, PS = 1 << 7, SNP = 1 << 11, TM = uint64_t(1) << 62;
/* Context entries: P, FPD and the translation types */
constexpr uint64_t P = 1, FPD = 2, TT_DEVICE_TLB = 1 << 2, TT_PASS_THROUGH = 2 << 2;

constexpr SourceId nic = 0x0010, disk = 0x0018; /* 00:02.0, 00:03.0 */

struct TranslatorFixture {
	TestMachine machine;
	Features features;
	Tables tables;
	Whims whims;
	Translator translator;
	uint64_t next_frame = 0x200000;

	TranslatorFixture() : translator(machine, features, tables, whims)
	{
		features.coherent = true;
		tables.root = 0x100000;
		tables.translating = true;
		tables.interrupts = 0x300000;
		tables.interrupt_entries = 256;
		tables.remapping = true;
		translator.reset();
	}

	uint64_t frame()
	{
		return next_frame += 0x1000;
	}

	/* Where the context entry of this source is; makes the table for its bus. */
	uint64_t context_at(SourceId source)
	{
		uint64_t root = tables.root + (source >> 8) * 16u;

		if (!(machine.read64(root) & 1))
			machine.write64(root, frame() | 1);
		return (machine.read64(root) & ~uint64_t(0xfff)) + (source & 0xff) * 16u;
	}

	void context(SourceId source, uint16_t domain, uint64_t table, unsigned levels = 4,
		     uint64_t low = P)
	{
		uint64_t at = context_at(source);

		machine.write64(at + 8, uint64_t(domain) << 8 | (levels - 2));
		machine.write64(at, table | low);
	}

	/* Where the entry of `level` for this address is; makes the tables above it. */
	uint64_t entry_at(uint64_t table, uint64_t address, unsigned level, unsigned levels = 4,
			  uint64_t rights = RW)
	{
		for (unsigned l = levels;; l--) {
			uint64_t at = table + (address >> (12 + 9 * (l - 1)) & 511) * 8;
			if (l == level)
				return at;
			if (!(machine.read64(at) & RW))
				machine.write64(at, frame() | rights);
			table = machine.read64(at) & 0xffffffffff000;
		}
	}

	void map(uint64_t table, uint64_t address, uint64_t entry, unsigned level = 1,
		 unsigned levels = 4)
	{
		machine.write64(entry_at(table, address, level, levels), entry);
	}

	void root_entry(unsigned bus, uint64_t low, uint64_t high = 0)
	{
		machine.write64(tables.root + bus * 16, low);
		machine.write64(tables.root + bus * 16 + 8, high);
	}

	void interrupt_entry(unsigned index, uint64_t low, uint64_t high = 0)
	{
		machine.write64(tables.interrupts + index * 16 + 8, high);
		machine.write64(tables.interrupts + index * 16, low);
	}

	unsigned read_reason(SourceId source, uint64_t address)
	{
		return translator.request(source, address, false).reason;
	}

	unsigned write_reason(SourceId source, uint64_t address)
	{
		return translator.request(source, address, true).reason;
	}

	uint64_t translate(SourceId source, uint64_t address)
	{
		Verdict verdict = translator.request(source, address, false);
		return verdict.reason ? ~uint64_t(0) : verdict.address;
	}
};

} // namespace bochs
