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

bool virq_deliver(const struct virq *q)
{
	return deliver_route(q->function->domain, read_once(&q->route));
}

bool virq_send(const struct domain *d, u64 address, u32 data)
{
	return deliver_route(d, route_of_message(d, address, data));
}

/* --- host vectors --------------------------------------------------------- */

static void handle_device_interrupt(void *arg)
{
	struct virq *q = arg;

	if (virq_deliver(q))
		irqstorm_count(q->function);
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
	iommu_irte_set(&q->irte, cpus[cpu]->apic_id, (u8)q->host_vector);
	q->allocated = true;
	return true;
}

bool virq_update(struct virq *q, bool enabled)
{
	const struct domain *d = q->function->domain;
	u32 route = 0;

	assert_locked(&q->function->bus->lock);
	if (enabled && !q->message.masked)
		route = route_of_message(d, q->message.address, q->message.data);
	if (route && !allocate_host_vector(q, vcpu_of_route(d, route)->tlb.cpu))
		route = 0;
	write_once(&q->route, route);
	return route;
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
