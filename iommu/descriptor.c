/* Invalidation descriptors (VT-d 6.5.2), built from what they invalidate. */
#include <iommu/descriptor.h>

#include <iommu/unit.h>
#include <kernel/core/paging.h>

struct qi_desc qi_context_global(void)
{
	return (struct qi_desc){ QI_TYPE_CONTEXT | QI_GLOBAL, 0 };
}

struct qi_desc qi_context_device(u16 did, u16 sid)
{
	return (struct qi_desc){ QI_TYPE_CONTEXT | QI_DEVICE | FIELD_PREP(QI_DID, did) |
					 FIELD_PREP(QI_CONTEXT_SID, sid),
				 0 };
}

struct qi_desc qi_device_tlb(const struct iommu_unit *u, struct qi_device_ids ids, u32 depth,
			     u64 first, u64 last)
{
	u32 order = first == last ? 0 : 64 - (u32)__builtin_clzl(first ^ last);
	/* Bits below the lowest zero bit are ones: 2^order pages. All bits: everything. */
	u64 size = order ? (1UL << (MIN(order, 51u) - 1)) - 1 : 0,
	    dfn = ALIGN_DOWN(first, 1UL << order);
	struct qi_desc desc = {
		QI_TYPE_DEVICE_TLB | FIELD_PREP(QI_DEVICE_TLB_SID, ids.sid) |
			FIELD_PREP(QI_DEVICE_TLB_MAX_PENDING, depth & 31),
		((dfn | size) << PAGE_SHIFT & QI_DEVICE_TLB_ADDR) | (order ? QI_DEVICE_TLB_S : 0),
	};

	/* The unit throttles by physical function, since that has the queue; without DIT the field
	 * is reserved (6.5.2.5). */
	if (u->ecap & ECAP_DIT)
		desc.lo |= FIELD_PREP(QI_DEVICE_TLB_PFSID_LO, ids.pfsid & 0xf) |
			   FIELD_PREP(QI_DEVICE_TLB_PFSID_HI, ids.pfsid >> 4);
	return desc;
}

struct qi_desc qi_iec_entries(u16 first, u32 order)
{
	return (struct qi_desc){ QI_TYPE_IEC | QI_IEC_INDEX | FIELD_PREP(QI_IEC_IM, order) |
					 FIELD_PREP(QI_IEC_IIDX, first),
				 0 };
}

struct qi_desc qi_iec_global(void)
{
	return (struct qi_desc){ QI_TYPE_IEC, 0 };
}
