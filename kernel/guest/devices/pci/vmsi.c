/* MSI and MSI-X of a device in a guest's hands (PCI Local Bus 3.0, 6.8).
 *
 *	guest writes            Weir                                    the device holds
 *	address, data    ->     decoded: vCPU and vector (the route)
 *	                        host vector on a CPU, whose handler
 *	                        makes the route's interrupt pending
 *	                        remapping entry: this device only  ->   a message that names the entry
 *
 * The guest's own address and data never reach the device. An interrupt's host vector and entry are made when it is first
 * unmasked, and stay until the device is taken away: masking and re-routing are the route and the mask bit.
 *
 * Each interrupt costs the CPU that takes it an exit, whoever runs there. So a device that raises more of them in a window
 * than irq-limit= allows is paused: none of its messages goes out until the window is over, whatever the guest writes.
 */
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/devices/pci/vpcifn.h>

#include <kernel/mm/alloc.h>
#include <kernel/lib/atomic.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/guest/domain/event.h>
#include <kernel/core/irq.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/x86/apic.h>

/* 6.8.1: the MSI capability; what a guest sees is the 64-bit layout without mask bits, one
 * vector. */
#define MSI_CONTROL_ENABLE (PCI_MSI_ENABLE << 16)
#define MSI_CONTROL_64 (PCI_MSI_64 << 16)
#define MSI_CONTROL_MASKS (PCI_MSI_MASKS << 16)

/* 6.8.2: the MSI-X capability and its table. */
#define MSIX_CONTROL_MASKED (PCI_MSIX_MASK << 16)
#define MSIX_CONTROL_ENABLE (PCI_MSIX_ENABLE << 16)
#define MSIX_CONTROL_SIZE (PCI_MSIX_SIZE << 16)

#define WINDOW_NS (1000000000UL / IRQ_WINDOWS_PER_SECOND)
/* A storm that goes on is told once in the log. */
#define NEW_STORM_NS 10000000000UL

#define ROUTE_VALID BIT(31)
#define ROUTE_VCPU MASK(23, 8)
#define ROUTE_VECTOR MASK(7, 0)

static u32 cap_read32(const struct vfunction *f, u32 offset)
{
	return pci_config_read32(f->dev->id.segment, f->dev->id.bdf, (u16)offset);
}

static void cap_write16(const struct vfunction *f, u32 offset, u32 value)
{
	pci_config_write16(f->dev->id.segment, f->dev->id.bdf, (u16)offset, (u16)value);
}

static void cap_write32(const struct vfunction *f, u32 offset, u32 value)
{
	pci_config_write32(f->dev->id.segment, f->dev->id.bdf, (u16)offset, value);
}

/* --- routes --------------------------------------------------------------------------------------------------------------------- */

/* 0 if the message is not an interrupt that a vCPU could take. */
static u32 decode(const struct domain *d, u64 address, u32 data)
{
	u32 destination = (u32)FIELD_GET(MSI_ADDRESS_DESTINATION, address);
	u32 mode = (u32)FIELD_GET(MSI_DATA_MODE, data), vector = data & MSI_DATA_VECTOR;

	if (address >> 20 != MSI_ADDRESS >> 20 || mode > DELIVERY_LOWEST || vector < 16)
		return 0;
	/* In logical mode the low bits are a set: the first of it takes the interrupt (cluster 0 of
	 * x2APIC). */
	if (address & MSI_ADDRESS_LOGICAL)
		destination = destination ? (u32)__builtin_ctz(destination) : MAX_CPUS;
	if (destination >= d->vm.nr_vcpus)
		return 0;
	return (u32)(ROUTE_VALID | FIELD_PREP(ROUTE_VCPU, destination) | vector);
}

static bool deliver_route(const struct domain *d, u32 route)
{
	struct vcpu *v;

	if (!(route & ROUTE_VALID))
		return false;
	v = d->vm.vcpu[FIELD_GET(ROUTE_VCPU, route)];
	v->interrupts_delivered++;
	vlapic_deliver(v, (u8)(route & ROUTE_VECTOR));
	return true;
}

static bool deliver(const struct vmsi_vector *m)
{
	return deliver_route(m->fn->domain, read_once(&m->route));
}

bool vmsi_message(const struct domain *d, u64 address, u32 data)
{
	return deliver_route(d, decode(d, address, data));
}

static u32 irq_limit;

void vmsi_set_irq_limit(u32 per_second)
{
	irq_limit = per_second;
}

/* One more came. CPUs that begin a window at the same time lose some counts, but no window. */
static bool over_limit(struct vfunction *f)
{
	u64 now = clock_ns();
	u32 limit = irq_limit / IRQ_WINDOWS_PER_SECOND;

	if ((s64)(now - read_once(&f->window_start)) >= (s64)WINDOW_NS) {
		write_once(&f->window_start, now);
		write_once(&f->window_count, 0u);
	}
	return atomic_add(&f->window_count, 1) > limit && limit;
}

static void pause_function(struct vfunction *f);

static void device_interrupt(void *arg)
{
	struct vmsi_vector *m = arg;

	if (deliver(m) && over_limit(m->fn))
		pause_function(m->fn);
}

/* A host vector on the CPU that runs the vCPU, so that the interrupt itself is what ends its guest
 * mode. */
static bool allocate(struct vmsi_vector *m, u32 cpu)
{
	if (m->allocated)
		return true;
	m->host_cpu = cpu;
	m->host_vector = irq_alloc(cpu, device_interrupt, m);
	if (m->host_vector < 0)
		return false;
	if (iommu_irte_alloc(&m->irte, m->fn->dev->id)) {
		irq_free(cpu, m->host_vector);
		return false;
	}
	iommu_irte_set(&m->irte, cpus[cpu]->apic_id, (u8)m->host_vector);
	m->allocated = true;
	return true;
}

/* Bring the interrupt in line with what the guest wrote; true if the device may send it. */
static bool update(struct vmsi_vector *m, bool enabled)
{
	struct domain *d = m->fn->domain;
	u32 route = enabled && !m->masked ? decode(d, m->address, m->data) : 0;

	if (route && !allocate(m, d->vm.vcpu[FIELD_GET(ROUTE_VCPU, route)]->tlb.cpu))
		route = 0;
	write_once(&m->route, route);
	return route;
}

/* --- MSI -------------------------------------------------------------------------------------------------------------------------- */

static void msi_update(struct vfunction *f)
{
	u32 cap = f->dev->msi, control = cap_read32(f, cap) >> 16;
	u64 address;
	u32 data;

	control &= ~(u32)PCI_MSI_ENABLE & ~(u32)PCI_MSI_COUNT; /* one vector */
	if (!update(&f->msi, f->msi_enabled) || f->paused) {
		cap_write16(f, cap + 2, control);
		return;
	}
	iommu_irte_message(&f->msi.irte, &address, &data);
	cap_write16(f, cap + 2, control);
	cap_write32(f, cap + 4, (u32)address);
	if (control & (u32)PCI_MSI_64) {
		cap_write32(f, cap + 8, (u32)(address >> 32));
		cap_write16(f, cap + 12, data);
		if (control & (u32)PCI_MSI_MASKS)
			cap_write32(f, cap + 16, 0);
	} else {
		cap_write16(f, cap + 8, data);
		if (control & (u32)PCI_MSI_MASKS)
			cap_write32(f, cap + 12, 0);
	}
	cap_write16(f, cap + 2, control | (u32)PCI_MSI_ENABLE);
}

u32 vmsi_read(struct vfunction *f, u8 offset)
{
	switch (offset) {
	case 0:
		return PCI_CAP_MSI | (u32)MSI_CONTROL_64 |
		       (f->msi_enabled ? (u32)MSI_CONTROL_ENABLE : 0);
	case 4:
		return (u32)f->msi.address;
	case 8:
		return (u32)(f->msi.address >> 32);
	case 12:
		return f->msi.data;
	default:
		return 0;
	}
}

void vmsi_write(struct vfunction *f, u8 offset, u32 value, u32 mask)
{
	u64 address = f->msi.address;

	switch (offset) {
	case 0:
		if (!(mask & MSI_CONTROL_ENABLE))
			return;
		f->msi_enabled = value & MSI_CONTROL_ENABLE;
		break;
	case 4:
		f->msi.address = ((address & ~(u64)mask) | (value & mask)) & ~3UL;
		break;
	case 8:
		f->msi.address = (address & ~((u64)mask << 32)) | (u64)(value & mask) << 32;
		break;
	case 12:
		f->msi.data = ((f->msi.data & ~mask) | (value & mask)) & 0xffff;
		break;
	default:
		return;
	}
	msi_update(f);
}

/* --- MSI-X ------------------------------------------------------------------------------------------------------------------------- */

static volatile u32 *real_entry(const struct vmsi_vector *m)
{
	return (volatile u32 *)((volatile char *)m->fn->dev->msix_table + 16 * m->index);
}

static void entry_update(struct vmsi_vector *m)
{
	struct vfunction *f = m->fn;
	volatile u32 *e = real_entry(m);
	bool send = update(m, f->msix_enabled);
	u64 address;
	u32 data;

	e[3] = PCI_MSIX_ENTRY_MASKED;
	if (!send)
		return;
	iommu_irte_message(&m->irte, &address, &data);
	e[0] = (u32)address;
	e[1] = (u32)(address >> 32);
	e[2] = data;
	e[3] = 0;
}

static void control_update(struct vfunction *f)
{
	u32 control = (f->msix_enabled ? (u32)MSIX_CONTROL_ENABLE : 0) |
		      (f->msix_masked || f->paused ? (u32)MSIX_CONTROL_MASKED : 0);

	cap_write16(f, f->dev->msix + 2u, control >> 16);
}

u32 vmsix_read(struct vfunction *f, u8 offset)
{
	if (offset)
		return cap_read32(f, f->dev->msix + offset);
	return PCI_CAP_MSIX | (u32)FIELD_PREP(MSIX_CONTROL_SIZE, f->nr_vectors - 1) |
	       (f->msix_enabled ? (u32)MSIX_CONTROL_ENABLE : 0) |
	       (f->msix_masked ? (u32)MSIX_CONTROL_MASKED : 0);
}

void vmsix_write(struct vfunction *f, u8 offset, u32 value, u32 mask)
{
	bool enabled = f->msix_enabled;

	if (offset)
		return;
	if (mask & MSIX_CONTROL_ENABLE)
		f->msix_enabled = value & MSIX_CONTROL_ENABLE;
	if (mask & MSIX_CONTROL_MASKED)
		f->msix_masked = value & MSIX_CONTROL_MASKED;
	/* Disabling comes first, enabling last: no message goes out half set up. */
	if (!f->msix_enabled)
		control_update(f);
	if (enabled != f->msix_enabled)
		for (u32 i = 0; i < f->nr_vectors; i++)
			entry_update(&f->msix[i]);
	if (f->msix_enabled)
		control_update(f);
}

u32 vmsix_table_read(struct vfunction *f, u32 offset)
{
	const struct vmsi_vector *m = &f->msix[offset / 16];

	switch (offset % 16) {
	case 0:
		return (u32)m->address;
	case 4:
		return (u32)(m->address >> 32);
	case 8:
		return m->data;
	default:
		return m->masked ? PCI_MSIX_ENTRY_MASKED : 0;
	}
}

void vmsix_table_write(struct vfunction *f, u32 offset, u32 value)
{
	struct vmsi_vector *m = &f->msix[offset / 16];

	switch (offset % 16) {
	case 0:
		m->address = (m->address & ~0xffffffffUL) | (value & ~3u);
		break;
	case 4:
		m->address = (m->address & 0xffffffff) | (u64)value << 32;
		break;
	case 8:
		m->data = value;
		break;
	default:
		m->masked = value & PCI_MSIX_ENTRY_MASKED;
	}
	entry_update(m);
}

/* --- storms ------------------------------------------------------------------------------------------------------------------------- */

/* Bring what the device may send in line with f->paused. Bus locked. */
static void pause_update(struct vfunction *f)
{
	if (f->nr_vectors)
		control_update(f);
	if (f->msi_enabled)
		msi_update(f);
}

/* Interrupt context, so this CPU holds no lock. */
static void pause_function(struct vfunction *f)
{
	struct vpci *p = f->bus;
	bool begins = false, is_new = false;
	char name[16];

	spin_lock(&p->lock);
	if (!f->paused && p->slot[f->slot] == f) {
		u64 now = clock_ns();

		begins = f->paused = true;
		is_new = !f->paused_at || now - f->paused_at > NEW_STORM_NS;
		f->paused_at = now;
		pause_update(f);
		timer_set(&f->pause_timer, read_once(&f->window_start) + WINDOW_NS);
	}
	spin_unlock(&p->lock);
	if (!begins)
		return;
	(void)atomic_add(&f->domain->interrupt_pauses, 1);
	domain_event(f->domain, WEIR_EVENT_STORM);
	if (is_new)
		log_warn("domain %s: device %s raises more than %u interrupts a second (irq-limit=): what is "
			 "more waits",
			 f->domain->name, pci_name(f->dev->id, name), irq_limit);
}

/* The window is over. Messages of MSI-X waited in the device as pending bits; MSI without mask bits has lost them: one more
 * than there were does no harm. Interrupt context. */
static void resume_function(struct timer *t)
{
	struct vfunction *f = container_of(t, struct vfunction, pause_timer);
	struct vpci *p = f->bus;
	bool awaited;

	spin_lock(&p->lock);
	f->paused = false;
	awaited = f->pause_is_awaited;
	if (p->slot[f->slot] == f) {
		pause_update(f);
		if (f->msi_enabled)
			(void)deliver(&f->msi);
	}
	spin_unlock(&p->lock);
	if (awaited)
		assign_left_one(f);
}

/* --- life ----------------------------------------------------------------------------------------------------------------------------- */

static int msix_init(struct vfunction *f)
{
	struct pci_device *d = f->dev;
	u32 control = cap_read32(f, d->msix), table = cap_read32(f, d->msix + 4u),
	    pba = cap_read32(f, d->msix + 8u);
	u32 nr = (u32)FIELD_GET(MSIX_CONTROL_SIZE, control) + 1;
	u64 table_size = 16 * nr, pba_size = ALIGN_UP(nr, 64u) / 8;

	f->msix_bar = table & PCI_MSIX_BIR;
	f->msix_offset = table & ~PCI_MSIX_BIR;
	f->pba_bar = pba & PCI_MSIX_BIR;
	f->pba_offset = pba & ~PCI_MSIX_BIR;
	if (f->msix_bar >= PCI_BARS || f->pba_bar >= PCI_BARS || d->bar[f->msix_bar].io ||
	    d->bar[f->pba_bar].io || f->msix_offset + table_size > d->bar[f->msix_bar].size ||
	    f->pba_offset + pba_size > d->bar[f->pba_bar].size)
		return -EINVAL;
	f->msix = kzalloc(nr * sizeof(*f->msix));
	if (!d->msix_table)
		d->msix_table = mmio_map(d->bar[f->msix_bar].base + f->msix_offset, table_size);
	if (!f->msix || !d->msix_table)
		return -ENOMEM;
	f->nr_vectors = nr;
	for (u32 i = 0; i < nr; i++)
		f->msix[i] = (struct vmsi_vector){ .fn = f, .index = i, .masked = true };
	cap_write16(f, d->msix + 2u, 0);
	return 0;
}

int vmsi_init(struct vfunction *f)
{
	f->msi.fn = f;
	timer_init(&f->pause_timer, resume_function);
	if (f->dev->msi)
		cap_write16(f, f->dev->msi + 2u, 0);
	return f->dev->msix ? msix_init(f) : 0;
}

static void cannot_come(void *arg)
{
	struct vmsi_vector *m = arg;

	irq_free(m->host_cpu, m->host_vector);
	assign_left_one(m->fn);
}

static void remove(struct vmsi_vector *m)
{
	write_once(&m->route, 0u);
	if (!m->allocated)
		return;
	m->allocated = false;
	assign_leaving_one(m->fn);
	iommu_irte_free(&m->irte, cannot_come, m);
}

void vmsi_remove(struct vfunction *f)
{
	spin_lock(&f->bus->lock);
	if (f->paused) {
		f->pause_is_awaited = true;
		assign_leaving_one(f);
	}
	spin_unlock(&f->bus->lock);
	if (f->dev->msi)
		cap_write16(f, f->dev->msi + 2u, 0);
	if (f->dev->msix)
		cap_write16(f, f->dev->msix + 2u, 0);
	remove(&f->msi);
	for (u32 i = 0; i < f->nr_vectors; i++)
		remove(&f->msix[i]);
}

void vmsi_free(struct vfunction *f)
{
	kfree(f->msix);
	f->msix = NULL;
}
