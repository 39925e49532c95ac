/* The handlers of interrupt vectors. A handler is registered for one CPU, except for the fixed
 * vectors, which all CPUs share. */
#include <kernel/core/irq.h>

#include <kernel/core/irqhandle.h>
#include <kernel/core/irqoff.h>
#include <kernel/core/lapic.h>
#include <kernel/core/log.h>
#include <kernel/core/panic.h>
#include <kernel/core/spinlock.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>
#include <kernel/x86/apic.h>
#include <kernel/x86/interrupts.h>

/* Guards the allocation of vectors. The slots are read without it. */
static struct spinlock irq_lock = SPINLOCK_INIT(LOCK_IRQ);
static struct irq_slot fixed[256];

static void set_slot(struct irq_slot *s, void (*handler)(void *arg), void *arg)
{
	/* The interrupt may arrive as soon as the handler is visible. */
	write_once(&s->arg, arg);
	store_release(&s->handler, handler);
}

int irq_alloc(u32 cpu, void (*handler)(void *arg), void *arg)
{
	int vector = -ENOSPC;

	BUG_ON(cpu >= nr_cpus);
	spin_lock(&irq_lock);
	for (int v = VECTOR_FIRST_DEVICE; v <= VECTOR_LAST_DEVICE; v++)
		if (!cpus[cpu]->irq[v].handler) {
			set_slot(&cpus[cpu]->irq[v], handler, arg);
			vector = v;
			break;
		}
	spin_unlock(&irq_lock);
	if (vector < 0)
		log_warn("CPU %u: all %d interrupt vectors are in use", cpu,
			 VECTOR_LAST_DEVICE - VECTOR_FIRST_DEVICE + 1);
	return vector;
}

void irq_free(u32 cpu, int vector)
{
	BUG_ON(cpu >= nr_cpus || vector < VECTOR_FIRST_DEVICE || vector > VECTOR_LAST_DEVICE);
	spin_lock(&irq_lock);
	BUG_ON(!cpus[cpu]->irq[vector].handler);
	store_release(&cpus[cpu]->irq[vector].handler, NULL);
	spin_unlock(&irq_lock);
}

u32 irq_count_free(u32 cpu)
{
	u32 nr = 0;

	for (int v = VECTOR_FIRST_DEVICE; v <= VECTOR_LAST_DEVICE; v++)
		nr += !read_once(&cpus[cpu]->irq[v].handler);
	return nr;
}

void irq_set_fixed(int vector, void (*handler)(void *arg), void *arg)
{
	BUG_ON(vector <= VECTOR_LAST_DEVICE || vector >= VECTOR_SPURIOUS);
	set_slot(&fixed[vector], handler, arg);
}

void irq_handle(int vector)
{
	struct irq_slot *s = vector > VECTOR_LAST_DEVICE ? &fixed[vector] :
							   &this_cpu()->irq[vector];
	void (*handler)(void *arg);

	/* The spurious vector and the 8259's vectors are not in service (SDM vol. 3, 11.9), unless
	 * a message has raised them: then 0xff would block all others without an EOI. */
	if (vector == VECTOR_SPURIOUS || vector < VECTOR_FIRST_DEVICE) {
		if (lapic_in_service((u8)vector))
			lapic_eoi();
		return;
	}
	irqoff_begin();
	handler = load_acquire(&s->handler);
	if (handler) {
		handler(read_once(&s->arg));
		irqoff_part((const void *)handler);
	} else {
		static struct log_limit limit = LOG_LIMIT_INIT(5);

		if (log_allowed(&limit))
			log_warn("CPU %u: unexpected interrupt 0x%x", this_cpu()->id, (u32)vector);
	}
	lapic_eoi();
	irqoff_end();
}

void irq_send(u32 cpu, int vector)
{
	lapic_send(cpus[cpu]->apic_id, (u8)vector);
}

void irq_stop_others(void)
{
	if (nr_cpus > 1)
		lapic_send_nmi_to_others();
}

void irq_window(void)
{
	alloc_step_window();
	irqoff_end();
	interrupts_window();
	irqoff_begin();
}

void irq_wait(void)
{
	irqoff_end();
	halt_until_interrupt();
	irqoff_begin();
}

void irq_msi_message(u32 cpu, int vector, u64 *address, u32 *data)
{
	u32 id = cpus[cpu]->apic_id;

	*address = MSI_ADDRESS | FIELD_PREP(MSI_ADDRESS_DESTINATION, id & 0xff);
	/* The remapping units take the rest of an x2APIC id in the upper half: VT-d, Fault Event
	 * Upper Address Register. */
	*address |= (u64)(id & 0xffffff00) << 32;
	*data = (u32)vector;
}
