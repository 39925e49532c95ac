/* Interrupts of a guest's PCI devices. See virq.h. */
#include <kernel/guest/devices/pci/virq.h>

#include <kernel/core/irq.h>
#include <kernel/guest/devices/pci/assign.h>
#include <kernel/guest/devices/pci/irqstorm.h>
#include <kernel/guest/devices/pci/vfunction.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/lib/atomic.h>
#include <kernel/x86/apic.h>

#define ROUTE_VALID BIT(31)
#define ROUTE_HELD BIT(30)
#define ROUTE_VCPU MASK(23, 8)
#define ROUTE_VECTOR MASK(7, 0)

/* The route for a message; 0 if it is not an interrupt that a vCPU can take. */
static u32 route_of_message(const struct domain *d, u64 address, u32 data)
{
	u32 destination = (u32)FIELD_GET(MSI_ADDRESS_DESTINATION, address);
	u32 mode = (u32)FIELD_GET(MSI_DATA_MODE, data), vector = data & MSI_DATA_VECTOR;

	if (address >> 20 != MSI_ADDRESS >> 20 || mode > DELIVERY_LOWEST || vector < 16)
		return 0;
	/* In logical mode the destination is a bit set (cluster 0 of x2APIC). The lowest bit set
	 * takes the interrupt. */
	if (address & MSI_ADDRESS_LOGICAL)
		destination = destination ? (u32)__builtin_ctz(destination) : MAX_CPUS;
	if (destination >= d->vm.nr_vcpus)
		return 0;
	return (u32)(ROUTE_VALID | FIELD_PREP(ROUTE_VCPU, destination) | vector);
}

static struct vcpu *vcpu_of_route(const struct domain *d, u32 route)
{
	return d->vm.vcpu[FIELD_GET(ROUTE_VCPU, route)];
}

static bool deliver_route(const struct domain *d, u32 route)
{
	struct vcpu *v;

	if (!(route & ROUTE_VALID))
		return false;
	v = vcpu_of_route(d, route);
	v->interrupts_delivered++;
	vlapic_deliver(v, (u8)(route & ROUTE_VECTOR));
	return true;
}

/* True while messages are latched instead of delivered. */
static bool is_held(const struct virq *q)
{
	const struct vfunction *f = q->function;

	return read_once(&q->route) & ROUTE_HELD || read_once(&f->storm.paused) ||
	       (q != &f->msi && read_once(&f->msix.masked));
}

/* Whoever ends what holds it back changes that first and looks at `pending` after; virq_latch()
 * does the reverse. So one of the two delivers. */
void virq_deliver_latched(struct virq *q)
{
	smp_mb();
	if (read_once(&q->pending) && !is_held(q) && atomic_xchg(&q->pending, 0u))
		(void)deliver_route(q->function->domain, read_once(&q->route));
}

void virq_latch(struct virq *q)
{
	write_once(&q->pending, 1u);
	virq_deliver_latched(q);
}

bool virq_send(const struct domain *d, u64 address, u32 data)
{
	return deliver_route(d, route_of_message(d, address, data));
}

/* --- host vectors --------------------------------------------------------- */

static void handle_device_interrupt(void *arg)
{
	struct virq *q = arg;
	u32 route;

	/* One that the guest does not get costs its CPU as much as one that it gets. */
	irqstorm_count(q->function);
	route = read_once(&q->route);
	if (!route)
		return;
	if (is_held(q))
		virq_latch(q);
	else
		(void)deliver_route(q->function->domain, route);
}

/* Allocate a host vector on the CPU that runs the vCPU, so that the interrupt itself makes the vCPU
 * exit. */
static bool allocate_host_vector(struct virq *q, u32 cpu)
{
	if (q->allocated)
		return true;
	q->host_cpu = cpu;
	q->host_vector = irq_alloc(cpu, handle_device_interrupt, q);
	if (q->host_vector < 0)
		return false;
	if (iommu_irte_alloc(&q->irte, q->function->dev->id)) {
		irq_free(cpu, q->host_vector);
		return false;
	}
	q->allocated = q->blocked = true;
	return true;
}

static void unblock(struct virq *q)
{
	iommu_irte_set(&q->irte, cpus[q->host_cpu]->apic_id, (u8)q->host_vector);
	q->blocked = false;
}

void virq_block(struct virq *q)
{
	assert_locked(&q->function->bus->lock);
	if (!q->allocated || q->blocked)
		return;
	iommu_irte_mask(&q->irte);
	q->blocked = true;
}

bool virq_update(struct virq *q, bool enabled)
{
	const struct domain *d = q->function->domain;
	bool masked = q->message.masked;
	u32 route = 0;

	assert_locked(&q->function->bus->lock);
	if (enabled)
		route = route_of_message(d, q->message.address, q->message.data);
	else
		write_once(&q->pending, 0u);
	/* MSI that is masked must be on in the device all the same, which keeps its pending bit. */
	if (route && (!masked || q == &q->function->msi) &&
	    !allocate_host_vector(q, vcpu_of_route(d, route)->tlb.cpu))
		route = 0;
	if (q->allocated && q->blocked && !q->function->storm.paused)
		unblock(q);
	write_once(&q->route, route | (enabled && masked ? (u32)ROUTE_HELD : 0));
	virq_deliver_latched(q);
	return route && !masked && !q->blocked;
}

static void free_host_vector(void *arg)
{
	struct virq *q = arg;

	irq_free(q->host_cpu, q->host_vector);
	assign_release(q->function);
}

void virq_remove(struct virq *q)
{
	write_once(&q->route, 0u);
	if (!q->allocated)
		return;
	q->allocated = false;
	assign_hold(q->function);
	iommu_irte_free(&q->irte, free_host_vector, q);
}
