/* Repeated string instructions on trapped memory: an exit executes some elements, the next one goes
 * on. tests/unit/test_emulate.c compares what instructions do.
 *
 * sources: kernel/guest/emulate/stringinsn.c kernel/guest/emulate/decode.c
 * sources: kernel/guest/emulate/opcodes.c kernel/guest/emulate/alu.c
 * sources: kernel/guest/emulate/address.c
 */
#include "test.h"

#include <kernel/guest/emulate/decode.h>
#include <kernel/guest/emulate/operand.h>
#include <kernel/guest/emulate/stringinsn.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/lib/errno.h>
#include <kernel/x86/control.h>

#define RIP 0x1000UL
#define ELEMENTS 300u
/* Each element may walk the guest's tables four times. */
#define MOST 8u

static struct vm vm;
static struct vcpu v = { .vm = &vm };
static struct guest_view g = { .v = &v };
static u32 located, moved;

/* --- what it calls -------------------------------------------------------- */

static void mode(const struct vcpu *vcpu, struct vcpu_mode *m)
{
	(void)vcpu;
	*m = (struct vcpu_mode){ .efer = EFER_LMA, .cs_long = true };
}

static bool set_rip(struct vcpu *vcpu, u64 rip)
{
	vcpu->rip = rip;
	return false;
}

static bool has_breakpoints(const struct vcpu *vcpu)
{
	(void)vcpu;
	return false;
}

static const struct vcpu_backend backend = {
	.mode = mode,
	.set_rip = set_rip,
	.has_breakpoints = has_breakpoints,
};
const struct vcpu_backend *vcpu_backend = &backend;

int operand_locate(struct guest_view *view, u64 linear, unsigned int size, bool write,
		   struct operand *p)
{
	assert_ptr_equal(view, &g);
	(void)write;
	located++;
	*p = (struct operand){ .nr = 1, .part = { { linear, size } } };
	return 0;
}

int operand_read(struct vcpu *vcpu, const struct operand *p, void *bytes)
{
	(void)vcpu;
	memset(bytes, 0, p->part[0].size);
	return 0;
}

int operand_write(struct vcpu *vcpu, const struct operand *p, const void *bytes)
{
	(void)vcpu;
	(void)p;
	(void)bytes;
	moved++;
	return 0;
}

/* --- the tests ------------------------------------------------------------ */

static void repeat(const char *instruction, u32 operands, u32 size)
{
	struct insn insn;
	u32 exits = 0;

	assert_int_equal(decode_insn((const u8 *)instruction, 3, 64, &insn), 0);
	v.rip = RIP;
	v.reg[RCX] = ELEMENTS;
	v.reg[RDI] = 0xfe000000;
	v.reg[RSI] = 0x200000;
	located = moved = 0;
	while (v.rip == RIP) {
		u32 before = located, at = moved;

		assert_int_equal(string_instruction(&g, 64, &insn), 0);
		assert_in_range(located - before, 1, MOST * operands);
		assert_int_equal(v.reg[RCX], ELEMENTS - moved);
		assert_true(moved > at);
		exits++;
	}
	assert_int_equal(moved, ELEMENTS);
	assert_int_equal(v.reg[RDI], 0xfe000000 + ELEMENTS * size);
	assert_in_range(exits, ELEMENTS / MOST, ELEMENTS);
}

static void repeated_moves(void **state)
{
	(void)state;
	repeat("\xf3\x48\xa5", 2, 8); /* REP MOVSQ */
	assert_int_equal(v.reg[RSI], 0x200000 + ELEMENTS * 8);
	assert_int_equal(v.rip, RIP + 3);
}

static void repeated_stores(void **state)
{
	(void)state;
	repeat("\xf3\xaa\x90", 1, 1); /* REP STOSB */
	assert_int_equal(v.rip, RIP + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(repeated_moves),
		cmocka_unit_test(repeated_stores),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
