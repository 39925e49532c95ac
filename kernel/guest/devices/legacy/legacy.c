/* See kernel/guest/devices/legacy/legacy.h. */
#include <kernel/guest/devices/legacy/legacy.h>

#include <kernel/guest/devices/legacy/vpicports.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>

static const struct {
	int (*add_ports)(struct legacy *l);
	void (*reset)(struct legacy *l); /* called with the lock held */
} devices[] = {
	{ vpit_add_ports, vpit_reset },	    { vpicports_add, vpicports_reset },
	{ vioapic_add, vioapic_reset },	    { vrtc_add_ports, vrtc_reset },
	{ vdebug_add_ports, vdebug_reset }, { vvga_add_ports, vvga_reset },
	{ vkbc_add_ports, vkbc_reset },
};

/* --- interrupts ----------------------------------------------------------- */

void legacy_update(struct legacy *l)
{
	bool output = vpic_output(&l->pic);

	assert_locked(&l->lock);
	extint_set(&l->domain->vm, output);
	vioapic_set_line(l, VIOAPIC_PIN_PIC, output);
	legacy_look(l);
}

void legacy_set_irq(struct legacy *l, u32 irq, bool level)
{
	vpic_set_line(&l->pic, irq, level);
	vioapic_set_line(l, irq ? irq : VIOAPIC_PIN_IRQ0, level);
	legacy_update(l);
}

bool legacy_takes_edge(const struct legacy *l, u32 irq)
{
	return !(l->pic.chip[irq / 8].irr & 1u << irq % 8) ||
	       vioapic_takes_edge(l, irq ? irq : VIOAPIC_PIN_IRQ0);
}

void legacy_look(struct legacy *l)
{
	/* What is pending in an APIC is not told when it goes: look at each entry. */
	write_once(&l->domain->vm.extint.look,
		   l->tick.lapsed &&
			   (legacy_takes_edge(l, 0) || !vioapic_is_masked(l, VIOAPIC_PIN_IRQ0)));
}

static int offer(void *ctx)
{
	struct legacy *l = ctx;
	int vector;

	spin_lock(&l->lock);
	vector = vpic_offer(&l->pic);
	/* This vCPU need not be told; what comes from now on raises the wire again. */
	write_once(&l->domain->vm.extint.raised, vpic_output(&l->pic));
	legacy_look(l);
	spin_unlock(&l->lock);
	return vector;
}

static void settle(void *ctx, bool taken)
{
	struct legacy *l = ctx;

	spin_lock(&l->lock);
	vpic_settle(&l->pic, taken);
	legacy_update(l);
	spin_unlock(&l->lock);
}

static void before_entry(void *ctx, struct vcpu *v)
{
	struct legacy *l = ctx;

	spin_lock(&l->lock);
	vpittick_before_entry(l, v);
	spin_unlock(&l->lock);
}

static void end_of_interrupt(void *ctx, u8 vector)
{
	struct legacy *l = ctx;

	spin_lock(&l->lock);
	vioapic_end_of_interrupt(l, vector);
	spin_unlock(&l->lock);
}

static const struct extint_ops extint_ops = { offer, settle, before_entry, end_of_interrupt };

/* --- creation and end ----------------------------------------------------- */

int legacy_create(struct domain *d)
{
	struct legacy *l = kzalloc(sizeof(*l));
	int ret = 0;

	if (!l)
		return -ENOMEM;
	spin_init(&l->lock, LOCK_LEGACY);
	l->domain = d;
	d->legacy = l;
	vpittick_init(l);
	d->vm.extint = (struct extint){ .ops = &extint_ops, .ctx = l };
	for (u32 i = 0; !ret && i < ARRAY_SIZE(devices); i++)
		ret = devices[i].add_ports(l);
	return ret;
}

void legacy_reset(struct domain *d)
{
	struct legacy *l = d->legacy;

	if (!l)
		return;
	spin_lock(&l->lock);
	for (u32 i = 0; i < ARRAY_SIZE(devices); i++)
		devices[i].reset(l);
	legacy_update(l);
	spin_unlock(&l->lock);
}

bool legacy_stop(struct domain *d)
{
	return !d->legacy || vpittick_stop(d->legacy);
}

void legacy_destroy(struct domain *d)
{
	kfree(d->legacy);
	d->legacy = NULL;
}
