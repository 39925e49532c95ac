/* Executes string instructions (SDM vol. 1, 7.3.9). */
#include <kernel/guest/emulate/stringinsn.h>

#include <kernel/guest/emulate/address.h>
#include <kernel/guest/emulate/alu.h>
#include <kernel/guest/emulate/operand.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/x86/control.h>

/* How many elements of a repeated string instruction one exit executes. The instruction continues
 * in the next exit. */
#define STRING_ELEMENTS 8

static bool compares(const struct insn *insn)
{
	return insn->op == INSN_CMPS || insn->op == INSN_SCAS;
}

/* MOVS, LODS and CMPS read DS:rSI; all but LODS access ES:rDI. */
static bool reads_rsi(const struct insn *insn)
{
	return insn->op != INSN_STOS && insn->op != INSN_SCAS;
}

static int element(struct guest_view *g, unsigned int bits, const struct insn *insn)
{
	struct vcpu *v = g->v;
	unsigned int size = insn->mem_size, width = insn->address_size;
	bool uses_rsi = reads_rsi(insn);
	bool uses_rdi = insn->op != INSN_LODS, writes = uses_rdi && !compares(insn);
	u64 step = v->rflags & RFLAGS_DF ? -(u64)size : size;
	u64 rdi = register_get(v, RDI, width, false), rsi = register_get(v, RSI, width, false);
	u64 first = v->reg[RAX], second = 0;
	struct operand from, to;
	int ret = 0;

	/* Locate both first: reading one may have side effects on a device, which a later page
	 * fault could not undo. */
	if (uses_rdi)
		ret = operand_locate(g, address_linear(v, bits, SEG_ES, rdi), size, writes, &to);
	if (!ret && uses_rsi)
		ret = operand_locate(g, address_linear(v, bits, insn->segment, rsi), size, false,
				     &from);
	if (!ret && uses_rsi)
		ret = operand_read(v, &from, &first);
	if (!ret && uses_rdi)
		ret = writes ? operand_write(v, &to, &first) : operand_read(v, &to, &second);
	if (ret)
		return ret;

	if (uses_rsi)
		register_add(v, RSI, width, step);
	if (uses_rdi)
		register_add(v, RDI, width, step);
	if (compares(insn))
		(void)alu(INSN_CMP, size, first, second, &v->rflags);
	else if (!writes)
		register_set(v, RAX, size, false, first);
	return 0;
}

/* REPE and REPNE of CMPS and SCAS end with an element that is different, or equal. */
static bool ends_early(const struct vcpu *v, const struct insn *insn)
{
	bool equal = v->rflags & RFLAGS_ZF;

	return compares(insn) && equal != (insn->repeat == REPEAT_EQUAL);
}

/* Where the last element was. */
static u64 last_element(struct vcpu *v, unsigned int bits, const struct insn *insn,
			unsigned int segment, enum guest_register index)
{
	unsigned int width = insn->address_size;
	u64 step = v->rflags & RFLAGS_DF ? -(u64)insn->mem_size : insn->mem_size;
	u64 offset = register_get(v, index, width, false) - step;

	return address_linear(v, bits, segment, offset & (~0UL >> (64 - 8 * width)));
}

/* There may be breakpoints on the element that has been accessed. */
static void look_for_breakpoints(struct vcpu *v, unsigned int bits, const struct insn *insn)
{
	if (reads_rsi(insn))
		vcpu_backend->accessed(v, ACCESS_READ,
				       last_element(v, bits, insn, insn->segment, RSI),
				       insn->mem_size);
	if (insn->op != INSN_LODS)
		vcpu_backend->accessed(v, compares(insn) ? ACCESS_READ : ACCESS_WRITE,
				       last_element(v, bits, insn, SEG_ES, RDI), insn->mem_size);
}

int string_instruction(struct guest_view *g, unsigned int bits, const struct insn *insn)
{
	struct vcpu *v = g->v;
	u64 next = v->rip + insn->length;
	bool watched = vcpu_backend->has_breakpoints(v), accessed = false, done = false;

	for (unsigned int i = 0; i < STRING_ELEMENTS && !done; i++) {
		int ret;

		if (insn->repeat && !register_get(v, RCX, insn->address_size, false)) {
			done = true;
			break;
		}
		ret = element(g, bits, insn);
		if (ret)
			return ret;
		accessed = true;
		if (!insn->repeat)
			break;
		register_add(v, RCX, insn->address_size, ~0UL);
		done = ends_early(v, insn) || !register_get(v, RCX, insn->address_size, false);
		/* A trap comes after each repetition. */
		if ((v->rflags & RFLAGS_TF) || watched)
			break;
	}
	if (insn->repeat && !done)
		next = v->rip;
	if (vcpu_backend->set_rip(v, bits == 64 ? next : (u32)next) && accessed)
		look_for_breakpoints(v, bits, insn);
	return 0;
}
