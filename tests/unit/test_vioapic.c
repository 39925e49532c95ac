/* sources: kernel/guest/devices/legacy/vioapic.c kernel/guest/vcpu/vlapicdestination.c */
/* The I/O APIC of a guest: its registers by the data sheet's tables, whom its pins interrupt, and
 * level-triggered pins against a model. */
#include "test.h"

#include <kernel/guest/devices/legacy/legacy.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/vcpu/vcpustate.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/x86/apic.h>

#define VCPUS 3
#define MASKED 0x10000u
#define LEVEL 0x8000u
#define REMOTE_IRR 0x4000u
#define LOGICAL 0x0800u
#define MODE(mode) ((mode) << 8)

static struct bus_range page;
static struct domain d;
static struct vcpu vcpus[VCPUS];
static struct legacy l = { .domain = &d };

/* --- what it calls -------------------------------------------------------- */

/* By vCPU. */
static u32 nr[VCPUS], level_nr[VCPUS], nmis[VCPUS], inits[VCPUS];
static u8 last_vector;
static bool refuses[VCPUS], has_pending[VCPUS];
static u32 extint_targets_seen, updates;

int bus_add(struct bus *b, const struct bus_range *r)
{
	assert_ptr_equal(b, &d.vm.mmio);
	page = *r;
	return 0;
}

void legacy_update(struct legacy *at)
{
	assert_locked(&at->lock);
	updates++;
}

void vlapic_deliver(struct vcpu *v, u8 vector)
{
	nr[v->id]++;
	last_vector = vector;
}

bool vlapic_deliver_level(struct vcpu *v, u8 vector)
{
	if (refuses[v->id])
		return false;
	level_nr[v->id]++;
	last_vector = vector;
	return true;
}

bool vlapic_is_pending(const struct vlapic *a, u8 vector)
{
	(void)vector;
	for (u32 i = 0; i < VCPUS; i++)
		if (a == &vcpus[i].lapic)
			return has_pending[i];
	fail();
	return false;
}

void vcpu_nmi(struct vcpu *v)
{
	nmis[v->id]++;
}

void vcpu_init_signal(struct vcpu *v)
{
	inits[v->id]++;
}

void extint_set_targets(struct vm *vm, u32 targets)
{
	assert_ptr_equal(vm, &d.vm);
	extint_targets_seen = targets;
}

/* --- the guest ------------------------------------------------------------ */

static void store(u64 offset, unsigned int size, u64 value)
{
	assert_int_equal(page.write(page.ctx, &vcpus[0], offset, size, value), 0);
}

static u32 load(u64 offset)
{
	u64 value = 0xffffffff;

	assert_int_equal(page.read(page.ctx, &vcpus[0], offset, 4, &value), 0);
	return (u32)value;
}

static u32 get(u8 reg)
{
	store(0x00, 4, reg);
	return load(0x10);
}

static void set(u8 reg, u32 value)
{
	store(0x00, 4, reg);
	store(0x10, 4, value);
}

static void set_entry(u32 pin, u32 low, u32 destination)
{
	set((u8)(0x11 + 2 * pin), destination << 24);
	set((u8)(0x10 + 2 * pin), low);
}

static void line(u32 pin, bool level)
{
	spin_lock(&l.lock);
	vioapic_set_line(&l, pin, level);
	spin_unlock(&l.lock);
}

static void edge(u32 pin)
{
	line(pin, true);
	line(pin, false);
}

static void end_of_interrupt(u8 vector)
{
	spin_lock(&l.lock);
	vioapic_end_of_interrupt(&l, vector);
	spin_unlock(&l.lock);
}

static int start(void **state)
{
	(void)state;
	memset(nr, 0, sizeof(nr));
	memset(level_nr, 0, sizeof(level_nr));
	memset(nmis, 0, sizeof(nmis));
	memset(inits, 0, sizeof(inits));
	memset(refuses, 0, sizeof(refuses));
	memset(has_pending, 0, sizeof(has_pending));
	memset(vcpus, 0, sizeof(vcpus));
	updates = 0;
	d.vm.nr_vcpus = VCPUS;
	for (u32 i = 0; i < VCPUS; i++) {
		vcpus[i].id = i;
		vcpus[i].lapic.apic_base = APIC_BASE_ENABLE;
		vcpus[i].lapic.dfr = 0xffffffff;
		vcpus[i].lapic.ldr = 0x01000000u << i;
		d.vm.vcpu[i] = &vcpus[i];
	}
	spin_init(&l.lock, LOCK_LEGACY);
	extint_targets_seen = ~0u;
	assert_int_equal(vioapic_add(&l), 0);
	assert_int_equal(page.first, 0xfec00000);
	assert_int_equal(page.last, 0xfec00fff);
	vioapic_reset(&l);
	return 0;
}

/* --- registers ------------------------------------------------------------ */

static void test_power_on(void **state)
{
	(void)state;
	assert_int_equal(load(0x00), 0);
	assert_int_equal(get(0x00), 0);
	assert_int_equal(get(0x01), 0x00170020);
	for (u32 pin = 0; pin < 24; pin++) {
		assert_int_equal(get((u8)(0x10 + 2 * pin)), MASKED);
		assert_int_equal(get((u8)(0x11 + 2 * pin)), 0);
	}
	assert_int_equal(get(0x40), 0);
	assert_int_equal(get(0xff), 0);
	assert_int_equal(load(0x20), 0);
	assert_int_equal(extint_targets_seen, 0);
}

static void test_what_can_be_written(void **state)
{
	(void)state;
	set(0x00, 0xffffffff);
	assert_int_equal(get(0x00), 0x0f000000);
	assert_int_equal(get(0x02), 0x0f000000); /* arbitration */
	set(0x01, 0xffffffff);
	assert_int_equal(get(0x01), 0x00170020);
	for (u8 reg = 0x10; reg < 0x40; reg += 2) {
		/* The delivery status and the remote IRR are read-only. */
		set(reg, 0xffffffff);
		assert_int_equal(get(reg), 0x1afff);
		set(reg + 1, 0xffffffff);
		assert_int_equal(get(reg + 1), 0xff000000);
		assert_int_equal(get(reg), 0x1afff);
		set(reg, 0x00010000);
	}
	set(0x40, 0xffffffff);
	assert_int_equal(get(0x40), 0);
}

static void test_sizes(void **state)
{
	u64 value = 0x1234;

	(void)state;
	/* Its index can be written as a byte; everything else has 4. */
	store(0x00, 1, 0x01);
	assert_int_equal(load(0x10), 0x00170020);
	store(0x00, 4, 0xffffff10);
	store(0x10, 1, 0x31);
	assert_int_equal(load(0x10), MASKED);
	assert_int_equal(page.read(page.ctx, &vcpus[0], 0x10, 1, &value), 0);
	assert_int_equal(value, 0x1234);
	assert_int_equal(load(0x00), 0x10);
}

/* --- destinations --------------------------------------------------------- */

static void test_an_edge(void **state)
{
	(void)state;
	set_entry(5, 0x35, 1);
	edge(5);
	assert_int_equal(nr[1], 1);
	assert_int_equal(last_vector, 0x35);
	line(5, true);
	line(5, true);
	assert_int_equal(nr[1], 2);
	line(5, false);
	/* What comes while it is masked is lost. */
	set(0x1a, MASKED | 0x35);
	line(5, true);
	set(0x1a, 0x35);
	assert_int_equal(nr[1], 2);
	edge(6);
	assert_int_equal(nr[0] + nr[1] + nr[2], 2);
}

static void test_whom_it_interrupts(void **state)
{
	static const struct {
		u32 low, destination, nr[VCPUS];
	} cases[] = {
		{ 0x40, 0, { 1, 0, 0 } },
		{ 0x40, 2, { 0, 0, 1 } },
		{ 0x40, 3, { 0, 0, 0 } },
		{ 0x40, 0xff, { 1, 1, 1 } },
		{ 0x40 | MODE(DELIVERY_LOWEST), 0xff, { 1, 0, 0 } },
		{ 0x40 | LOGICAL, 0x06, { 0, 1, 1 } },
		{ 0x40 | LOGICAL | MODE(DELIVERY_LOWEST), 0x06, { 0, 1, 0 } },
		{ 0x40 | LOGICAL, 0x00, { 0, 0, 0 } },
		{ 0x40 | LOGICAL, 0xf8, { 0, 0, 0 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		start(state);
		set_entry(9, cases[i].low, cases[i].destination);
		edge(9);
		for (u32 v = 0; v < VCPUS; v++)
			assert_int_equal(nr[v], cases[i].nr[v]);
	}
}

static void test_other_modes(void **state)
{
	(void)state;
	set_entry(4, MODE(DELIVERY_NMI), 1);
	edge(4);
	assert_int_equal(nmis[1], 1);
	set_entry(4, MODE(DELIVERY_INIT), 2);
	edge(4);
	assert_int_equal(inits[2], 1);
	set_entry(4, MODE(DELIVERY_SMI) | 0x50, 0);
	edge(4);
	set_entry(4, MODE(DELIVERY_EXTINT) | 0x50, 0);
	edge(4);
	assert_int_equal(nr[0] + nr[1] + nr[2] + nmis[1] + inits[2], 2);
}

/* Pin 0 passes the wire of the 8259As on. */
static void test_extint(void **state)
{
	(void)state;
	set_entry(0, MODE(DELIVERY_EXTINT), 1);
	assert_int_equal(extint_targets_seen, 2);
	set_entry(0, MODE(DELIVERY_EXTINT) | LOGICAL, 5);
	assert_int_equal(extint_targets_seen, 5);
	set_entry(0, MODE(DELIVERY_EXTINT) | MASKED, 1);
	assert_int_equal(extint_targets_seen, 0);
	set_entry(0, MODE(DELIVERY_FIXED) | 0x30, 1);
	assert_int_equal(extint_targets_seen, 0);
	set_entry(0, MODE(DELIVERY_EXTINT), 1);
	set_entry(1, MODE(DELIVERY_EXTINT), 2);
	assert_int_equal(extint_targets_seen, 2);
	spin_lock(&l.lock);
	vioapic_reset(&l);
	spin_unlock(&l.lock);
	assert_int_equal(extint_targets_seen, 0);
}

/* --- levels --------------------------------------------------------------- */

static void test_a_level(void **state)
{
	(void)state;
	set_entry(10, LEVEL | 0x61, 0);
	line(10, true);
	assert_int_equal(level_nr[0], 1);
	assert_int_equal(get(0x24), LEVEL | REMOTE_IRR | 0x61);
	line(10, false);
	line(10, true);
	assert_int_equal(level_nr[0], 1); /* until it is ended */
	end_of_interrupt(0x62);
	assert_int_equal(level_nr[0], 1);
	end_of_interrupt(0x61);
	assert_int_equal(level_nr[0], 2);
	line(10, false);
	store(0x40, 4, 0x61); /* the EOI register */
	assert_int_equal(level_nr[0], 2);
	assert_int_equal(get(0x24), LEVEL | 0x61);
	/* Edge-triggered for a moment: this is how old kernels end one (Linux 2.6). */
	line(10, true);
	assert_int_equal(level_nr[0], 3);
	set(0x24, MASKED | 0x61);
	assert_int_equal(get(0x24), MASKED | 0x61);
	set(0x24, LEVEL | 0x61);
	assert_int_equal(level_nr[0], 4);
	/* Nobody takes it: it can come again. */
	line(10, false);
	end_of_interrupt(0x61);
	refuses[0] = true;
	line(10, true);
	assert_int_equal(get(0x24) & REMOTE_IRR, 0);
}

/* Random steps, beside what the data sheet says of one level-triggered pin. */
static void test_levels_at_random(void **state)
{
	bool high = false, masked = true, in_service = false;
	u32 expected = 0;

	(void)state;
	set_entry(7, LEVEL | MASKED | 0x70, 2);
	for (u32 i = 0; i < 20000; i++) {
		switch (rand() % 4) {
		case 0:
			high = rand() & 1;
			line(7, high);
			break;
		case 1:
			masked = rand() & 1;
			set(0x1e, LEVEL | (masked ? MASKED : 0) | 0x70);
			break;
		case 2:
			if (in_service)
				in_service = false, end_of_interrupt(0x70);
			break;
		case 3:
			edge(8); /* another one, which is masked */
			break;
		}
		if (high && !masked && !in_service) {
			in_service = true;
			expected++;
		}
		assert_int_equal(level_nr[2], expected);
		assert_int_equal(!!(get(0x1e) & REMOTE_IRR), in_service);
	}
	assert_true(expected > 100);
}

/* --- what the timer asks -------------------------------------------------- */

static bool takes_edge(u32 pin)
{
	bool takes;

	spin_lock(&l.lock);
	takes = vioapic_takes_edge(&l, pin);
	spin_unlock(&l.lock);
	return takes;
}

static void test_takes_edge(void **state)
{
	(void)state;
	assert_false(takes_edge(2));
	assert_true(vioapic_is_masked(&l, 2));
	set_entry(2, LOGICAL | 0x30, 0x03);
	assert_false(vioapic_is_masked(&l, 2));
	assert_true(takes_edge(2));
	has_pending[2] = true;
	assert_true(takes_edge(2));
	has_pending[1] = true;
	assert_false(takes_edge(2));
}

static void test_changes_are_told(void **state)
{
	u32 before = updates;

	(void)state;
	set(0x12, 0x31);
	assert_true(updates > before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_power_on, start),
		cmocka_unit_test_setup(test_what_can_be_written, start),
		cmocka_unit_test_setup(test_sizes, start),
		cmocka_unit_test_setup(test_an_edge, start),
		cmocka_unit_test_setup(test_whom_it_interrupts, start),
		cmocka_unit_test_setup(test_other_modes, start),
		cmocka_unit_test_setup(test_extint, start),
		cmocka_unit_test_setup(test_a_level, start),
		cmocka_unit_test_setup(test_levels_at_random, start),
		cmocka_unit_test_setup(test_takes_edge, start),
		cmocka_unit_test_setup(test_changes_are_told, start),
	};

	srand(test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
