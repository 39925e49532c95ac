/* Hypercalls: decode and check everything, then perform. kernel/abi/hypercall.h describes each. */
#include <kernel/guest/exit/hypercall.h>

#include <kernel/abi/hypercall.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/domain/event.h>
#include <kernel/guest/exit/control.h>
#include <kernel/guest/exit/stats.h>
#include <kernel/guest/memory/devicemap.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/memory/memrelease.h>
#include <kernel/guest/memory/populate.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/guest/vcpu/vcpustate.h>
#include <kernel/lib/errno.h>

/* Memory calls do a bounded part and return how much. A call that must wait parks the vCPU, which
 * executes it again later. */
static s64 memory_call(struct vcpu *v, s64 (*fn)(struct memory *m, gfn_t gfn, u64 nr))
{
	s64 ret;

	vcpu_prepare_park(v);
	ret = fn(&v->vm->memory, v->reg[RDI], v->reg[RSI]);
	if (ret == -EAGAIN)
		vcpu_park(v);
	return ret;
}

s64 hypercall_answer(struct domain *d, gpaddr_t gpa, u64 size, const void *src, u64 known, s64 ret)
{
	if (gpa & 7 || size > PAGE_SIZE)
		return -EINVAL;
	return guest_write(&d->vm.memory, gpa, src, MIN(size, known)) ? -EFAULT : ret;
}

static s64 stats_call(struct domain *d, gpaddr_t gpa, u64 size)
{
	struct weir_stats s;

	domain_stats(d, &s);
	return hypercall_answer(d, gpa, size, &s, sizeof(s), sizeof(s));
}

static s64 shutdown_call(struct domain *d, u64 how, u64 status)
{
	static const char *const why[] = { "powered off", "asked for a reboot", "crashed" };

	if (how >= ARRAY_SIZE(why))
		return -EINVAL;
	if (how == 1)
		domain_reboot(d, why[how], status);
	else
		domain_shutdown(d, why[how], status);
	return 0;
}

bool exit_hypercall(struct vcpu *v, u8 cpl)
{
	struct domain *d = vcpu_domain(v);
	s64 ret;

	v->exits[WEIR_EXIT_HYPERCALL]++;
	if (cpl) {
		v->reg[RAX] = (u64)-EPERM;
		return true;
	}

	switch (v->reg[RAX]) {
	case WEIR_HC_VERSION:
		ret = WEIR_ABI_VERSION;
		break;
	case WEIR_HC_MEM_RELEASE:
		ret = memory_call(v, memory_release);
		break;
	case WEIR_HC_MEM_POPULATE:
		ret = memory_call(v, memory_populate);
		break;
	case WEIR_HC_STATS:
		ret = stats_call(d, v->reg[RDI], v->reg[RSI]);
		break;
	case WEIR_HC_SHUTDOWN:
		ret = shutdown_call(d, v->reg[RDI], v->reg[RSI]);
		break;
	case WEIR_HC_EVENT_VECTOR:
		ret = domain_set_event_vector(d, v->reg[RDI]);
		break;
	case WEIR_HC_EVENTS:
		ret = domain_take_events(d);
		break;
	case WEIR_HC_DEVICE_FRAME:
		ret = memory_device_frame(&d->vm.memory, v->reg[RDI]);
		break;
	default:
		ret = control_call(d, v->reg[RAX], v->reg[RDI], v->reg[RSI], v->reg[RDX]);
	}

	if (ret == -EAGAIN)
		return false;
	v->reg[RAX] = (u64)ret;
	return true;
}
