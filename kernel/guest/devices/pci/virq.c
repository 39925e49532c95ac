/* Interrupts of a guest's PCI devices. See virq.h. */
#include <kernel/guest/devices/pci/virq.h>

#include <kernel/core/irq.h>
#include <kernel/core/panic.h>
#include <kernel/guest/devices/pci/irqstorm.h>
#include <kernel/guest/devices/pci/vfunction.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/vcpu/vlapicdestination.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/lib/atomic.h>
#include <kernel/x86/apic.h>

#define ROUTE_VALID BIT(31)
#define ROUTE_HELD BIT(30)
#define ROUTE_LOGICAL BIT(29)
#define ROUTE_ANY BIT(28) /* one of several vCPUs takes it */
#define ROUTE_DESTINATION MASK(15, 8)
#define ROUTE_VECTOR MASK(7, 0)

static bool is_for(u32 route, const struct vcpu *v)
{
	return vlapic_is_destination(v, (u32)FIELD_GET(ROUTE_DESTINATION, route),
				     route & ROUTE_LOGICAL, false);
}

/* NULL: it is for none. */
static struct vcpu *first_vcpu(const struct domain *d, u32 route)
{
	for (u32 i = 0; i < d->vm.nr_vcpus; i++)
		if (is_for(route, d->vm.vcpu[i]))
			return d->vm.vcpu[i];
	return NULL;
}

/* The route for a message (SDM vol. 3, 11.11); 0 if it is not an interrupt that a vCPU can take. */
static u32 route_of_message(const struct domain *d, u64 address, u32 data)
{
	u32 destination = (u32)FIELD_GET(MSI_ADDRESS_DESTINATION, address);
	u32 mode = (u32)FIELD_GET(MSI_DATA_MODE, data), vector = data & MSI_DATA_VECTOR;
	bool logical = address & MSI_ADDRESS_LOGICAL;
	u32 route = (u32)(ROUTE_VALID | FIELD_PREP(ROUTE_DESTINATION, destination)) | vector;

	if (address >> 20 != MSI_ADDRESS >> 20 || mode > DELIVERY_LOWEST || vector < 16)
		return 0;
	if (mode == DELIVERY_LOWEST || (logical && (address & MSI_ADDRESS_HINT)))
		route |= (u32)ROUTE_ANY;
	/* Whom a logical destination means is known when the message comes: the guest may set the
	 * logical ids of its APICs until then. */
	if (logical)
		return destination ? route | (u32)ROUTE_LOGICAL : 0;
	return first_vcpu(d, route) ? route : 0;
}

static void deliver_to(struct vcpu *v, u32 route)
{
	v->interrupts_delivered++;
	vlapic_deliver(v, (u8)(route & ROUTE_VECTOR));
}

static bool deliver_route(const struct domain *d, u32 route)
{
	u32 destination = (u32)FIELD_GET(ROUTE_DESTINATION, route);
	bool taken = false;

	if (!(route & ROUTE_VALID))
		return false;
	if (!(route & ROUTE_LOGICAL) && destination < d->vm.nr_vcpus) {
		deliver_to(d->vm.vcpu[destination], route);
		return true;
	}
	for (u32 i = 0; i < d->vm.nr_vcpus && !(taken && route & ROUTE_ANY); i++) {
		if (!is_for(route, d->vm.vcpu[i]))
			continue;
		deliver_to(d->vm.vcpu[i], route);
		taken = true;
	}
	return taken;
}

/* The CPU of a vCPU that takes the interrupt, as far as is known. */
static u32 cpu_of_route(const struct domain *d, u32 route)
{
	const struct vcpu *v = first_vcpu(d, route);

	return (v ? v : d->vm.vcpu[0])->tlb.cpu;
}

static bool is_msi(const struct virq *q)
{
	return q == &q->function->msi;
}

static bool is_enabled(const struct virq *q)
{
	const struct vfunction *f = q->function;

	return is_msi(q) ? read_once(&f->msi_enabled) : read_once(&f->msix.enabled);
}

/* True while messages are latched instead of delivered. */
static bool is_held(const struct virq *q)
{
	return read_once(&q->route) & ROUTE_HELD || irqstorm_holds(q->function) ||
	       (!is_msi(q) && read_once(&q->function->msix.masked));
}

/* Whoever ends what holds it back changes that first and looks at `pending` after; virq_latch()
 * does the reverse. So one of the two delivers. */
void virq_deliver_latched(struct virq *q)
{
	struct vfunction *f = q->function;
	u64 bit = BIT(q->index);

	smp_mb();
	if (read_once(&f->pending) & bit && !is_held(q) && atomic_and(&f->pending, ~bit) & bit)
		(void)deliver_route(f->domain, read_once(&q->route));
}

void virq_latch(struct virq *q)
{
	(void)atomic_or(&q->function->pending, BIT(q->index));
	virq_deliver_latched(q);
}

void virq_forget_latched(struct vfunction *f, u64 which)
{
	assert_locked(&f->bus->lock);
	(void)atomic_and(&f->pending, ~which);
}

bool virq_send(const struct domain *d, u64 address, u32 data)
{
	return deliver_route(d, route_of_message(d, address, data));
}

/* --- host vectors --------------------------------------------------------- */

static void handle_device_interrupt(void *arg)
{
	struct virq *q = arg;

	/* One that the guest does not get costs its CPU as much as one that it gets. */
	irqstorm_count(q->function);
	if (!is_enabled(q))
		return;
	if (is_held(q))
		virq_latch(q);
	else
		(void)deliver_route(q->function->domain, read_once(&q->route));
}

/* Take a host vector on the CPU that runs the vCPU, so that the interrupt itself makes the vCPU
 * exit. It has been reserved. */
static void take_host_vector(struct virq *q, u32 cpu)
{
	struct vfunction *f = q->function;

	if (f->allocated & BIT(q->index))
		return;
	q->host_cpu = cpu;
	q->host_vector = irq_alloc(cpu, handle_device_interrupt, q);
	BUG_ON(q->host_vector < 0);
	f->allocated |= BIT(q->index);
	iommu_irtes_set(&f->irtes, q->index, cpus[cpu]->apic_id, (u8)q->host_vector);
}

bool virq_update(struct virq *q)
{
	const struct domain *d = q->function->domain;
	u32 route = route_of_message(d, q->message.address, q->message.data);
	bool masked = q->message.masked;

	assert_locked(&q->function->bus->lock);
	/* MSI that is masked must be on in the device all the same, which keeps its pending bit. */
	if (route && (!masked || is_msi(q)))
		take_host_vector(q, cpu_of_route(d, route));
	write_once(&q->route, route | (masked ? (u32)ROUTE_HELD : 0));
	if (is_enabled(q))
		virq_deliver_latched(q);
	return route && !masked && q->function->open & BIT(q->index);
}
