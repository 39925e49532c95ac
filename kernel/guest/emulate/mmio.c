/* Emulates instructions that access trapped memory: fetches, decodes and executes them. */
#include <kernel/guest/emulate/mmio.h>

#include <kernel/guest/emulate/address.h>
#include <kernel/guest/emulate/decode.h>
#include <kernel/guest/emulate/execute.h>
#include <kernel/guest/emulate/guestlinear.h>
#include <kernel/guest/emulate/guestwalk.h>
#include <kernel/guest/emulate/operand.h>
#include <kernel/guest/emulate/stringinsn.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/inject.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>

/* Fetch and decode the instruction. -EFAULT: an exception has been injected; otherwise as
 * decode_insn(). */
static int fetch(struct guest_view *g, unsigned int bits, u8 bytes[INSN_MAX_LENGTH],
		 struct insn *insn)
{
	unsigned int nr = guest_fetch_all(g, bytes);
	int ret = decode_insn(bytes, nr, bits, insn);
	struct vcpu *v = g->v;
	gpaddr_t gpa;
	u64 linear;
	u32 error;

	if (ret == -E2BIG && nr < INSN_MAX_LENGTH) {
		u32 access = WALK_FETCH | (g->mode.cpl == 3 ? WALK_USER : 0);

		linear = address_linear(v, bits, SEG_CS, v->rip + nr);
		if (guest_translate_as(v, linear, access, &gpa, &error)) {
			inject_pf(v, linear, error);
			return -EFAULT;
		}
		/* The rest is where there is no RAM, which reads as all ones. */
		memset(bytes + nr, 0xff, INSN_MAX_LENGTH - nr);
		ret = decode_insn(bytes, INSN_MAX_LENGTH, bits, insn);
	}
	if (ret == -E2BIG) {
		inject_gp(v);
		return -EFAULT;
	}
	return ret;
}

/* True if the access that faulted no longer matches, since another vCPU has changed the code, the
 * page tables or the memory map. Then the guest executes the instruction again. */
static bool is_stale(struct vcpu *v, struct operand *p, gpaddr_t gpa)
{
	bool seen = false;

	for (unsigned int i = 0; i < p->nr; i++) {
		p->part[i].trapped = p->part[i].gpa >> PAGE_SHIFT == gpa >> PAGE_SHIFT;
		seen |= p->part[i].trapped;
	}
	return !seen || guest_is_ram(&v->vm->memory, gpa);
}

/* There may be breakpoints on what it has accessed. */
static void look_for_breakpoints(struct vcpu *v, unsigned int bits, const struct insn *insn,
				 u64 linear)
{
	unsigned int size = insn->mem_size, pointer = address_stack_size(v, bits);
	bool push = insn->op == INSN_PUSH;
	u64 top = register_get(v, RSP, pointer, false);

	vcpu_backend->accessed(v, insn_writes(insn) ? ACCESS_WRITE : ACCESS_READ, linear, size);
	if (!push && insn->op != INSN_POP)
		return;
	if (!push)
		top = (top - size) & (~0UL >> (64 - 8 * pointer));
	vcpu_backend->accessed(v, push ? ACCESS_WRITE : ACCESS_READ,
			       address_linear(v, bits, SEG_SS, top), size);
}

static int one_instruction(struct guest_view *g, unsigned int bits, const struct insn *insn,
			   gpaddr_t gpa)
{
	struct vcpu *v = g->v;
	u64 linear = address_effective(v, bits, insn), next = v->rip + insn->length;
	bool uses_stack = insn->op == INSN_PUSH || insn->op == INSN_POP;
	struct operand p;
	int ret;

	if (insn->aligned && (linear & (insn->mem_size - 1))) {
		inject_gp(v);
		return -EFAULT;
	}
	ret = operand_locate(g, linear, insn->mem_size, insn_writes(insn), &p);
	if (ret)
		return ret;
	/* It may have been the stack, too. */
	if (!uses_stack && is_stale(v, &p, gpa))
		return 0;
	ret = execute(g, bits, insn, &p);
	if (!ret && vcpu_backend->set_rip(v, bits == 64 ? next : (u32)next))
		look_for_breakpoints(v, bits, insn, linear);
	return ret;
}

static int describe_unknown(const u8 bytes[INSN_MAX_LENGTH], char *why, size_t size)
{
	size_t at = (size_t)snprintf(why, size, "unknown instruction:");

	for (unsigned int i = 0; i < INSN_MAX_LENGTH && at + 4 < size; i++)
		at += (size_t)snprintf(why + at, size - at, " %02x", bytes[i]);
	return -EINVAL;
}

/* The page tables of the stack are where there is no RAM. Of instructions that Weir does not know,
 * many use the stack: PUSH, CALL, RET. False: an exception has been injected. */
static bool stack_is_mapped(struct guest_view *g, unsigned int bits)
{
	struct vcpu *v = g->v;
	unsigned int size = address_stack_size(v, bits);
	u64 rsp = register_get(v, RSP, size, false);
	gpaddr_t gpa;

	for (unsigned int i = 0; i < 2; i++, rsp -= size) {
		u64 at = rsp & (~0UL >> (64 - 8 * size));

		if (guest_translate(g, address_linear(v, bits, SEG_SS, at), i, &gpa))
			return false;
	}
	return true;
}

int mmio_emulate(struct vcpu *v, gpaddr_t gpa, bool table_walk, char *why, size_t why_size)
{
	u8 bytes[INSN_MAX_LENGTH] = { 0 };
	struct guest_view g;
	struct insn insn;
	unsigned int bits;
	int ret;

	guest_view(&g, v);
	bits = mode_code_bits(&g.mode);
	ret = fetch(&g, bits, bytes, &insn);
	if (ret == -EINVAL && table_walk && !stack_is_mapped(&g, bits))
		return 0;
	if (ret == -EINVAL)
		return describe_unknown(bytes, why, why_size);
	if (!ret)
		ret = insn_is_string(&insn) ? string_instruction(&g, bits, &insn) :
					      one_instruction(&g, bits, &insn, gpa);
	return ret == -EFAULT ? 0 : ret;
}
