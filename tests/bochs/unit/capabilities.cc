/* The bits of CAP and ECAP. */
#include <bochs/unit/capabilities.h>

namespace bochs
{

namespace
{

/* CAP.SAGAW: bit 1 stands for 3 levels, bit 2 for 4, bit 3 for 5. */
uint64_t address_widths(const Features &features)
{
	uint64_t most = UINT64_C(1) << (features.levels - 2);

	return features.only_these_levels ? most : (most << 1) - 2;
}

} // namespace

unsigned guest_address_width(const Features &features)
{
	return features.width ? features.width : 12 + 9 * features.levels;
}

unsigned fault_recording_offset(const Features &features)
{
	/* Few records fit before IVA_REG, many get pages of their own. */
	return features.fault_records <= 16 ? 0x400 : 0x1000;
}

unsigned iotlb_offset()
{
	return 0x500;
}

unsigned register_bytes(const Features &features)
{
	return features.fault_records <= 16 ? 0x1000 : 0x2000;
}

uint64_t capability(const Features &features)
{
	uint64_t value = features.domains; /* ND */

	value |= uint64_t(features.write_buffer_flush) << 4; /* RWBF */
	value |= uint64_t(features.protected_memory) << 5; /* PLMR */
	value |= uint64_t(features.protected_memory) << 6; /* PHMR */
	value |= uint64_t(features.caching_mode) << 7; /* CM */
	value |= address_widths(features) << 8; /* SAGAW */
	value |= uint64_t(guest_address_width(features) - 1) << 16; /* MGAW */
	value |= uint64_t(features.zero_length_read) << 22; /* ZLR */
	value |= uint64_t(fault_recording_offset(features) / 16) << 24; /* FRO */
	value |= uint64_t(features.superpages ? 3 : 0) << 34; /* SLLPS: 2 MiB, 1 GiB */
	value |= uint64_t(features.page_selective) << 39; /* PSI */
	value |= (features.fault_records - 1) << 40; /* NFR */
	if (features.page_selective)
		value |= features.mask << 48; /* MAMV */
	value |= uint64_t(features.drain) << 54; /* DWD */
	value |= uint64_t(features.drain) << 55; /* DRD */
	value |= uint64_t(features.posted_interrupts) << 59; /* PI */
	return value;
}

uint64_t extended_capability(const Features &features)
{
	uint64_t value = features.coherent; /* C */

	value |= 1 << 1; /* QI */
	value |= uint64_t(features.device_tlb) << 2; /* DT */
	value |= uint64_t(features.remap_interrupts) << 3; /* IR */
	value |= uint64_t(features.remap_interrupts && features.extended_interrupts) << 4; /* EIM */
	value |= uint64_t(features.pass_through) << 6; /* PT */
	value |= uint64_t(features.snoop_control) << 7; /* SC */
	value |= uint64_t(iotlb_offset() / 16) << 8; /* IRO */
	if (features.remap_interrupts)
		value |= UINT64_C(15) << 20; /* MHMV */
	return value;
}

} // namespace bochs
