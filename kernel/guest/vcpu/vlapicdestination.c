/* Which vCPUs a message is for. See vlapicdestination.h. */
#include <kernel/guest/vcpu/vlapicdestination.h>

#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/x86/apic.h>

#define BROADCAST 0xffffffffu
#define BROADCAST_8 0xffu
#define DFR_FLAT 0xfu

u32 vlapic_logical_id(u32 id)
{
	return (id >> 4) << 16 | 1u << (id & 0xf);
}

/* 11.6.2.2: by LDR and DFR. */
static bool is_logical_xapic(const struct vlapic *a, u32 destination)
{
	u32 id = a->ldr >> 24, cluster = destination >> 4;

	if (destination > 0xff)
		return false;
	if (a->dfr >> 28 == DFR_FLAT)
		return destination & id;
	return (cluster == id >> 4 || cluster == 0xf) && (destination & id & 0xf);
}

bool vlapic_is_destination(const struct vcpu *v, u32 destination, bool logical, bool wide)
{
	u32 id = vlapic_logical_id(v->id);

	if (destination == (wide ? BROADCAST : BROADCAST_8))
		return true;
	if (!logical)
		return destination == v->id;
	if (!(v->lapic.apic_base & APIC_BASE_EXTD))
		return is_logical_xapic(&v->lapic, destination);
	return destination >> 16 == id >> 16 && (destination & id & 0xffff);
}
