/* sources: $(VLAPIC_SRCS) kernel/guest/vcpu/vlapicpage.c */
/* The page of a virtual local APIC: which of its registers exist and what they keep, by the tables
 * of the SDM (vol. 3, chapter 11), accesses of other sizes, errors, and IPIs by its two halves of
 * the ICR. */
#include "test.h"

#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/guest/vcpu/vcpustate.h>
#include <kernel/guest/vcpu/vlapicpage.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/x86/apic.h>

#define VCPUS 3
#define ENABLED 0x100u

static struct bus_range page;
static struct vm vm;
static struct vcpu vcpus[VCPUS];
static u32 nmis[VCPUS], inits[VCPUS], sipis[VCPUS];
static u8 sipi_vector;
static u64 now;

/* --- what it calls -------------------------------------------------------- */

int bus_add(struct bus *b, const struct bus_range *r)
{
	assert_ptr_equal(b, &vm.mmio);
	page = *r;
	return 0;
}

void vcpu_interrupt(struct vcpu *v)
{
	(void)v;
}

void vcpu_nmi(struct vcpu *v)
{
	nmis[v->id]++;
}

void vcpu_init_signal(struct vcpu *v)
{
	inits[v->id]++;
}

void vcpu_sipi(struct vcpu *v, u8 vector)
{
	sipis[v->id]++;
	sipi_vector = vector;
}

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	(void)t, (void)fn;
}

void timer_set(struct timer *t, u64 deadline_ns)
{
	(void)t, (void)deadline_ns;
}

void timer_cancel(struct timer *t)
{
	(void)t;
}

void sched_charge(struct vcpu *v, u64 ns)
{
	(void)v, (void)ns;
}

u64 clock_ns(void)
{
	return now;
}

u64 clock_tsc_to_ns(u64 ticks)
{
	return ticks;
}

const struct vcpu_backend *vcpu_backend;

/* --- the guest ------------------------------------------------------------ */

static u64 read_at(struct vcpu *v, u32 offset, unsigned int size)
{
	u64 all = ~0UL >> (64 - 8 * size), value = all;

	assert_int_equal(page.read(page.ctx, v, offset, size, &value), 0);
	return value & all; /* the caller takes as many bytes */
}

static u32 get(struct vcpu *v, u32 offset)
{
	return (u32)read_at(v, offset, 4);
}

static void set(struct vcpu *v, u32 offset, u32 value)
{
	assert_int_equal(page.write(page.ctx, v, offset, 4, value), 0);
}

static u32 errors(struct vcpu *v)
{
	set(v, 0x280, 0);
	return get(v, 0x280);
}

static int start(void **state)
{
	(void)state;
	memset(vcpus, 0, sizeof(vcpus));
	memset(nmis, 0, sizeof(nmis));
	memset(inits, 0, sizeof(inits));
	memset(sipis, 0, sizeof(sipis));
	vm.nr_vcpus = VCPUS;
	for (u32 i = 0; i < VCPUS; i++) {
		vcpus[i].vm = &vm;
		vcpus[i].id = i;
		vm.vcpu[i] = &vcpus[i];
		vlapic_init(&vcpus[i]);
		vcpus[i].lapic.svr |= ENABLED;
	}
	assert_int_equal(vlapicpage_add(&vm), 0);
	assert_int_equal(page.first, 0xfee00000);
	assert_int_equal(page.last, 0xfee00fff);
	return 0;
}

/* --- registers ------------------------------------------------------------ */

/* Table 11-1, and what can be written (figures 11-8 to 11-23). */
static const struct {
	u32 offset, at_reset, writable;
} registers[] = {
	{ 0x020, 0x01000000, 0x00000000 }, /* ID, of vCPU 1 */
	{ 0x030, 0x00060015, 0x00000000 }, /* version */
	{ 0x080, 0x00000000, 0x000000ff }, /* TPR */
	{ 0x0a0, 0x00000000, 0x00000000 }, /* PPR */
	{ 0x0b0, 0x00000000, 0x00000000 }, /* EOI */
	{ 0x0d0, 0x00000000, 0xff000000 }, /* LDR */
	{ 0x0e0, 0xffffffff, 0xf0000000 }, /* DFR */
	{ 0x0f0, 0x000001ff, 0x000003ff }, /* SVR */
	{ 0x2f0, 0x00010000, 0x000107ff }, /* CMCI */
	{ 0x310, 0x00000000, 0xff000000 }, /* ICR, high half */
	{ 0x320, 0x00010000, 0x000700ff }, /* timer */
	{ 0x330, 0x00010000, 0x000107ff }, /* thermal sensor */
	{ 0x340, 0x00010000, 0x000107ff }, /* performance counters */
	{ 0x350, 0x00010000, 0x0001a7ff }, /* LINT0 */
	{ 0x360, 0x00010000, 0x0001a7ff }, /* LINT1 */
	{ 0x370, 0x00010000, 0x000107ff }, /* error */
	{ 0x380, 0x00000000, 0xffffffff }, /* initial count */
	{ 0x3e0, 0x00000000, 0x0000000b }, /* divide configuration */
};

static void test_what_registers_keep(void **state)
{
	struct vcpu *v = &vcpus[1];

	for (size_t i = 0; i < ARRAY_SIZE(registers); i++) {
		u32 at = registers[i].offset, mask = registers[i].writable;

		start(state);
		assert_int_equal(get(v, at), registers[i].at_reset);
		set(v, at, 0);
		assert_int_equal(get(v, at), registers[i].at_reset & ~mask);
		if (at == 0x320) /* not the reserved mode */
			mask &= ~0x40000u;
		set(v, at, mask | ~registers[i].writable);
		assert_int_equal(get(v, at),
				 (registers[i].at_reset & ~registers[i].writable) | mask);
		assert_int_equal(errors(v) & ESR_ILLEGAL_REGISTER,
				 mask || at == 0x0b0 || at == 0x020 ? 0 : ESR_ILLEGAL_REGISTER);
	}
}

static bool exists(u32 offset)
{
	for (size_t i = 0; i < ARRAY_SIZE(registers); i++)
		if (registers[i].offset == offset)
			return true;
	/* ISR, TMR, IRR, the ESR, the low half of the ICR, and the current count. */
	return (offset >= 0x100 && offset <= 0x280) || offset == 0x300 || offset == 0x390;
}

static void test_others_are_errors(void **state)
{
	struct vcpu *v = &vcpus[1];

	(void)state;
	for (u32 offset = 0; offset < 0x1000; offset += 16) {
		(void)errors(v);
		(void)get(v, offset);
		assert_int_equal(errors(v), exists(offset) ? 0 : ESR_ILLEGAL_REGISTER);
		if (!exists(offset)) {
			set(v, offset, 0x12);
			assert_int_equal(errors(v), ESR_ILLEGAL_REGISTER);
		}
	}
	/* An error is shown when the register is written, and stays until it is written again. */
	assert_int_equal(errors(v), 0);
	(void)get(v, 0x400);
	assert_int_equal(get(v, 0x280), 0);
	set(v, 0x280, 0xffffffff);
	assert_int_equal(get(v, 0x280), ESR_ILLEGAL_REGISTER);
	set(v, 0x280, 0);
	assert_int_equal(get(v, 0x280), 0);
}

static void test_sizes(void **state)
{
	struct vcpu *v = &vcpus[2];

	(void)state;
	assert_int_equal(read_at(v, 0x033, 1), 0);
	assert_int_equal(read_at(v, 0x032, 2), 0x0006);
	assert_int_equal(read_at(v, 0x030, 1), 0x15);
	assert_int_equal(read_at(v, 0x034, 4), 0);
	assert_int_equal(read_at(v, 0x032, 4), 0);
	assert_int_equal(read_at(v, 0x030, 8), 0);
	for (unsigned int size = 1; size <= 8; size *= 2)
		for (u32 byte = 0; byte < 16; byte++)
			if (size != 4 || byte)
				assert_int_equal(page.write(page.ctx, v, 0x80 + byte, size, 0x55),
						 0);
	assert_int_equal(get(v, 0x80), 0);
	set(v, 0x80, 0x55);
	assert_int_equal(get(v, 0x80), 0x55);
}

/* In the other modes the page is memory without a device. */
static void test_modes(void **state)
{
	static const u64 modes[] = { 0, APIC_BASE_ENABLE | APIC_BASE_EXTD };
	struct vcpu *v = &vcpus[1];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		v->lapic.apic_base = APIC_DEFAULT_ADDRESS | modes[i];
		assert_int_equal(get(v, 0x30), 0xffffffff);
		set(v, 0x80, 0x20);
		assert_int_equal(v->lapic.tpr, 0);
	}
	/* Each vCPU has its own. */
	set(&vcpus[0], 0x80, 0x30);
	assert_int_equal(get(&vcpus[0], 0x80), 0x30);
	assert_int_equal(get(&vcpus[2], 0x80), 0);
	assert_int_equal(get(&vcpus[2], 0x20), 0x02000000);
}

/* --- interrupts ----------------------------------------------------------- */

static u32 has(struct vcpu *v, u8 vector)
{
	u32 at = 0x200 + 16 * (vector / 32u);

	return get(v, at) >> vector % 32 & 1;
}

static void send(struct vcpu *v, u32 destination, u32 low)
{
	set(v, 0x310, destination << 24);
	set(v, 0x300, low);
}

static void test_ipis(void **state)
{
	(void)state;
	send(&vcpus[0], 2, 0x4041);
	assert_int_equal(has(&vcpus[0], 0x41) << 1 | has(&vcpus[2], 0x41), 1);
	assert_int_equal(get(&vcpus[0], 0x300), 0x4041);
	/* The destination is kept, so the low half alone sends again. */
	set(&vcpus[0], 0x300, 0x4042);
	assert_int_equal(has(&vcpus[2], 0x42), 1);
	send(&vcpus[0], 0xff, 0x4043);
	for (u32 i = 0; i < VCPUS; i++)
		assert_int_equal(has(&vcpus[i], 0x43), 1);
	send(&vcpus[1], 0, 0x44044); /* to itself */
	assert_int_equal(has(&vcpus[0], 0x44) << 1 | has(&vcpus[1], 0x44), 1);
	send(&vcpus[1], 0, 0xc4045); /* to the others */
	assert_int_equal(has(&vcpus[0], 0x45) << 2 | has(&vcpus[1], 0x45) << 1 |
				 has(&vcpus[2], 0x45),
			 5);
	/* The high half alone sends nothing. */
	set(&vcpus[0], 0x310, 0x01000000);
	assert_int_equal(get(&vcpus[0], 0x310), 0x01000000);
	assert_int_equal(has(&vcpus[1], 0x42), 0);
	send(&vcpus[0], 1, 0x400f);
	assert_int_equal(errors(&vcpus[0]), ESR_SEND_ILLEGAL);
}

static void test_logical_ipis(void **state)
{
	(void)state;
	for (u32 i = 0; i < VCPUS; i++)
		set(&vcpus[i], 0xd0, 0x10000000u << i);
	send(&vcpus[0], 0x50, 0x4841);
	assert_int_equal(has(&vcpus[0], 0x41) << 2 | has(&vcpus[1], 0x41) << 1 |
				 has(&vcpus[2], 0x41),
			 5);
	for (u32 i = 0; i < VCPUS; i++) {
		set(&vcpus[i], 0xe0, 0);
		set(&vcpus[i], 0xd0, 0x31000000u + (i == 2 ? 0x10000000u : i << 24));
	}
	send(&vcpus[0], 0x32, 0x4842);
	assert_int_equal(has(&vcpus[0], 0x42) << 2 | has(&vcpus[1], 0x42) << 1 |
				 has(&vcpus[2], 0x42),
			 2);
}

/* As kernels start another processor (SDM vol. 3, 9.4.4.1). */
static void test_start(void **state)
{
	(void)state;
	send(&vcpus[0], 1, 0xc500);
	send(&vcpus[0], 1, 0x8500); /* the de-assert of old kernels */
	send(&vcpus[0], 1, 0x4608);
	send(&vcpus[0], 1, 0x4608);
	assert_int_equal(inits[1], 1);
	assert_int_equal(sipis[1], 2);
	assert_int_equal(sipi_vector, 8);
	send(&vcpus[0], 0, 0xc4400);
	assert_int_equal(nmis[0] << 2 | nmis[1] << 1 | nmis[2], 3);
	assert_int_equal(inits[0] + inits[2] + sipis[0] + sipis[2], 0);
}

static void test_end_of_interrupt(void **state)
{
	struct vcpu *v = &vcpus[1];

	(void)state;
	for (u32 value = 0; value < 3; value++) {
		vlapic_deliver(v, 0x61);
		assert_int_equal(has(v, 0x61), 1);
		assert_int_equal(vlapic_offer(v), 0x61);
		vlapic_settle(v, 0x61, true);
		assert_int_equal(get(v, 0x100 + 16 * 3) >> 1 & 1, 1);
		assert_int_equal(get(v, 0xa0), 0x60);
		set(v, 0xb0, value); /* any value */
		assert_int_equal(get(v, 0x100 + 16 * 3), 0);
		assert_int_equal(get(v, 0xa0), 0);
	}
	/* ISR, TMR and IRR are read-only. */
	for (u32 offset = 0x100; offset < 0x280; offset += 16) {
		set(v, offset, 0xffffffff);
		assert_int_equal(get(v, offset), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_what_registers_keep, start),
		cmocka_unit_test_setup(test_others_are_errors, start),
		cmocka_unit_test_setup(test_sizes, start),
		cmocka_unit_test_setup(test_modes, start),
		cmocka_unit_test_setup(test_ipis, start),
		cmocka_unit_test_setup(test_logical_ipis, start),
		cmocka_unit_test_setup(test_start, start),
		cmocka_unit_test_setup(test_end_of_interrupt, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
