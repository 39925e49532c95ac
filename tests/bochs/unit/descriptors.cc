/* Decodes descriptors; a reserved bit that is set makes one invalid. */
#include <bochs/unit/descriptors.h>

namespace bochs
{

namespace
{

uint64_t bits(uint64_t value, unsigned highest, unsigned lowest)
{
	return value >> lowest & ((UINT64_C(2) << (highest - lowest)) - 1);
}

constexpr uint64_t mask_of(unsigned highest, unsigned lowest)
{
	return (UINT64_C(2) << highest) - (UINT64_C(1) << lowest);
}

/* G of context and IOTLB descriptors; 0 is reserved. */
bool granularity(uint64_t value, Granularity &out)
{
	out = value == 1 ? Granularity::global :
	      value == 2 ? Granularity::domain :
			   Granularity::selective;
	return value != 0;
}

/* 6.5.2.1 */
bool context(uint64_t low, uint64_t high, Descriptor &out)
{
	constexpr uint64_t reserved = mask_of(8, 6) | mask_of(15, 12) | mask_of(63, 50);

	out.domain = bits(low, 31, 16);
	out.source = bits(low, 47, 32);
	out.function_mask = bits(low, 49, 48);
	return granularity(bits(low, 5, 4), out.granularity) && !(low & reserved) && !high;
}

/* 6.5.2.3 */
bool iotlb(uint64_t low, uint64_t high, const Features &features, Descriptor &out)
{
	constexpr uint64_t reserved = mask_of(8, 8) | mask_of(15, 12) | mask_of(63, 32);
	constexpr uint64_t reserved_high = mask_of(11, 7);
	uint64_t drains = features.drain ? 0 : mask_of(7, 6); /* DR, DW */

	out.domain = bits(low, 31, 16);
	out.mask = bits(high, 5, 0);
	out.hint = bits(high, 6, 6);
	out.address = high & ~UINT64_C(0xfff);
	if (!granularity(bits(low, 5, 4), out.granularity))
		return false;
	if ((low & (reserved | drains)) || (high & reserved_high))
		return false;
	if (out.granularity != Granularity::selective)
		return true;
	return features.page_selective && out.mask <= features.mask;
}

/* 6.5.2.5: with S, the lowest clear bit of the address from bit 12 on says the size. PFSID is
 * reserved: the unit does not offer ECAP.DIT. */
bool device_tlb(uint64_t low, uint64_t high, Descriptor &out)
{
	constexpr uint64_t reserved = mask_of(8, 4) | mask_of(15, 12) | mask_of(31, 21) |
				      mask_of(63, 48);
	constexpr uint64_t reserved_high = mask_of(11, 1);
	uint64_t mip = bits(low, 20, 16);

	out.source = bits(low, 47, 32);
	out.max_pending = mip ? mip : 32;
	out.address = high & ~UINT64_C(0xfff);
	out.bytes = 4096;
	if (high & 1) {
		unsigned bit = 12;
		while (bit < 63 && (high >> bit & 1))
			bit++;
		if (bit == 63) {
			out.address = 0;
			out.bytes = UINT64_MAX;
		} else {
			out.bytes = UINT64_C(2) << bit;
			out.address &= ~(out.bytes - 1);
		}
	}
	return !(low & reserved) && !(high & reserved_high);
}

/* 6.5.2.7 */
bool interrupt_entries(uint64_t low, uint64_t high, Descriptor &out)
{
	constexpr uint64_t reserved = mask_of(8, 5) | mask_of(26, 12) | mask_of(63, 48);

	out.global = !bits(low, 4, 4);
	out.mask = bits(low, 31, 27);
	out.index = bits(low, 47, 32);
	return !(low & reserved) && !high;
}

/* 6.5.2.8. PD is reserved: the unit offers no page requests. */
bool wait(uint64_t low, uint64_t high, Descriptor &out)
{
	constexpr uint64_t reserved = mask_of(8, 7) | mask_of(31, 12);

	out.interrupt = bits(low, 4, 4);
	out.status_write = bits(low, 5, 5);
	out.fence = bits(low, 6, 6);
	out.status_data = bits(low, 63, 32);
	out.status_address = high & ~UINT64_C(3);
	return !(low & reserved) && !(high & 3);
}

} // namespace

bool decode(uint64_t low, uint64_t high, const Features &features, Descriptor &out,
	    QueueError &error)
{
	uint64_t type = bits(low, 3, 0) | bits(low, 11, 9) << 4;
	bool good = false;

	out = {};
	out.type = static_cast<DescriptorType>(type);
	error = QueueError::invalid_type;
	switch (type) {
	case 1:
		good = context(low, high, out);
		break;
	case 2:
		good = iotlb(low, high, features, out);
		break;
	case 3:
		if (!features.device_tlb)
			return false;
		good = device_tlb(low, high, out);
		break;
	case 4:
		if (!features.remap_interrupts)
			return false;
		good = interrupt_entries(low, high, out);
		break;
	case 5:
		good = wait(low, high, out);
		break;
	default:
		return false;
	}
	error = QueueError::reserved_field;
	return good;
}

} // namespace bochs
