/* What a remapping unit can do. It is set before the machine starts and then stays. */
#pragma once

#include <cstdint>

namespace bochs
{

struct Features {
	uint64_t base = 0xfed90000;
	uint64_t levels = 4; /* the most that CAP.SAGAW offers: 3, 4 or 5 */
	bool only_these_levels = false; /* else those below are offered, too */
	bool superpages = true; /* CAP.SLLPS: 2 MiB and 1 GiB */
	bool caching_mode = false; /* CAP.CM */
	bool coherent = false; /* ECAP.C */
	bool write_buffer_flush = false; /* CAP.RWBF */
	bool page_selective = true; /* CAP.PSI */
	uint64_t mask = 18; /* CAP.MAMV */
	bool protected_memory = true; /* CAP.PLMR, PHMR */
	bool zero_length_read = true; /* CAP.ZLR */
	bool drain = true; /* CAP.DRD, DWD */
	uint64_t fault_records = 8; /* CAP.NFR + 1: 1 to 256 */
	uint64_t domains = 6; /* CAP.ND: 2^(4 + 2 * it) domain ids */
	uint64_t width = 0; /* CAP.MGAW in bits; 0: what the levels reach, at most 57 */
	bool device_tlb = true; /* ECAP.DT */
	bool remap_interrupts = true; /* ECAP.IR */
	bool extended_interrupts = true; /* ECAP.EIM: x2APIC */
	bool pass_through = true; /* ECAP.PT */
	bool snoop_control = false; /* ECAP.SC */
	bool posted_interrupts = false; /* CAP.PI */
};

} // namespace bochs
