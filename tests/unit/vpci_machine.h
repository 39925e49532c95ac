/* The machine of the virtual PCI tests: one device like an 82574, with its registers in host
 * memory, and a domain that owns it. The stand-in functions are defined here, so only one file of a
 * program may include it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <drivers/pci.h>
#include <drivers/pcidma.h>
#include <drivers/pcireset.h>
#include <kernel/abi/control.h>
#include <kernel/mm/alloc.h>
#include <kernel/guest/devices/pci/assign.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/core/irq.h>
#include <kernel/core/log.h>
#include <kernel/guest/memory/devicemap.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/core/paging.h>
#include <kernel/lib/string.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/guest/domain/event.h>
#include <kernel/guest/memory/shootdown.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/devices/pci/assignable.h>
#include <kernel/guest/devices/pci/irqstorm.h>
#include <kernel/guest/devices/pci/vfunction.h>
#include <kernel/guest/devices/virtio/vvirtiopci.h>
#include <kernel/guest/vcpu/vlapicpending.h>

#include <cmocka.h>

/* --- the machine ---------------------------------------------------------- */

#define BAR0_BASE 0xfeb80000UL
#define BAR3_BASE 0xfebd0000UL
#define BAR3_SIZE 0x4000UL
#define MSIX_VECTORS 5
#define MSIX_VECTORS_MANY 512u /* the table is all that is before the pending bits */
#define CAP_PM_AT 0xc8
#define CAP_MSI_AT 0xd0
#define CAP_PCIE_AT 0xe0
#define CAP_MSIX_AT 0xa0
#define CAP_VENDOR_AT 0x80
#define CAP_VENDOR_LENGTH 12
#define VENDOR_WORD(i) (0x76656e00u + (i))

static u8 config[256];
static u8 bar3[BAR3_SIZE] __aligned(4096);
/* The page of BAR 0 that has the pending bits if `pba_in_bar0`, else they are in BAR 3. */
#define PBA_IN_BAR0 0x10000UL
static u8 bar0_page[PAGE_SIZE] __aligned(4096);
static bool pba_in_bar0;
/* Where the MSI capability is, and its message control. */
static u8 msi_at = CAP_MSI_AT;
static u16 msi_control = PCI_MSI_64;
static bool pba_outside; /* the pending bits are in no BAR */
static u32 msix_vectors = MSIX_VECTORS;
static struct pci_device device;
static struct domain dom;
static struct vcpu vcpus[2];
static struct cpu cpu0;
struct cpu *cpus[MAX_CPUS] = { &cpu0 };
u32 nr_cpus = 1;

/* The domain has no emulated device: test_balloon.c tests those. */
u32 vvirtiopci_read(struct vvirtio *dev, u8 offset)
{
	(void)dev;
	return 0xbad00000u | offset;
}

void vvirtiopci_write(struct vvirtio *dev, u8 offset, u32 value, u32 mask)
{
	(void)dev, (void)offset, (void)value, (void)mask;
}

/* What the log says, and how many lines of it are about PCI functions. */
static char said[4096];
static u32 pci_lines;

void log_print(enum log_level level, const char *fmt, ...)
{
	size_t at = strlen(said);
	va_list ap;

	(void)level;
	pci_lines += !strncmp(fmt, "pci: ", 5);
	va_start(ap, fmt);
	vsnprintf(said + at, sizeof(said) - at, fmt, ap);
	va_end(ap);
}

static inline void check_said(const char *words)
{
	if (!strstr(said, words))
		fail_msg("\"%s\" does not say \"%s\"", said, words);
}

static bool attached;
static int irqs, irtes;
static u64 direct_pages;
static struct timer *timers[4]; /* timers that are set: a function's own, and that of its pause */
static u32 nr_timers;
static int delivered_vcpu, delivered_vector, deliveries;
static u32 delivered_to; /* bits by vCPU */
static void (*irq_handler[256])(void *arg);
static void *irq_arg[256];

static u32 msi_writes; /* to the capability */

static inline void count_write(u16 offset)
{
	msi_writes += offset >= msi_at && offset < CAP_PCIE_AT;
}

/* What MSI can, and the number of MSI-X vectors, cannot be written. */
static inline void keep_read_only(void)
{
	config[msi_at + 2] = (u8)((config[msi_at + 2] & 0x71) | (msi_control & 0x8e));
	config[msi_at + 3] = (u8)(msi_control >> 8);
	config[CAP_MSIX_AT + 2] = (u8)(msix_vectors - 1);
	config[CAP_MSIX_AT + 3] = (u8)((config[CAP_MSIX_AT + 3] & 0xc0) | (msix_vectors - 1) >> 8);
}

#define ACCESS(bits)                                                                               \
	u##bits pci_config_read##bits(u16 segment, u16 bdf, u16 offset)                            \
	{                                                                                          \
		u##bits v;                                                                         \
		(void)segment, (void)bdf;                                                          \
		assert_true(offset + bits / 8 <= 256 && !(offset % (bits / 8)));                   \
		memcpy(&v, &config[offset], sizeof(v));                                            \
		return v;                                                                          \
	}                                                                                          \
	void pci_config_write##bits(u16 segment, u16 bdf, u16 offset, u##bits v)                   \
	{                                                                                          \
		(void)segment, (void)bdf;                                                          \
		assert_true(offset + bits / 8 <= 256 && !(offset % (bits / 8)));                   \
		memcpy(&config[offset], &v, sizeof(v));                                            \
		count_write(offset);                                                               \
		keep_read_only();                                                                  \
	}
ACCESS(8)
ACCESS(16)
ACCESS(32)

struct pci_device *pci_find(struct pci_id id)
{
	return id.bdf == device.id.bdf ? &device : NULL;
}

/* The machine's other functions: none, unless a test says so. */
static struct pci_device *others;
static u32 nr_others;

struct pci_device *pci_device_at(u32 index)
{
	return index < nr_others ? &others[index] : index == nr_others ? &device : NULL;
}

void pci_set_bus_master(const struct pci_device *d, bool on)
{
	(void)d;
	config[PCI_COMMAND] = (u8)((config[PCI_COMMAND] & ~4) | (on ? 4 : 0));
}

static bool two_halves; /* of a reset */
static u32 halves;

bool pci_reset_start(struct pci_device *d)
{
	(void)d;
	assert_int_equal(halves, 0);
	halves = two_halves ? 2 : 1;
	return true;
}

static u32 answers_after_ms, silent_ms;
static bool reset_is_lost;

enum pci_reset_result pci_reset_step(struct pci_device *d, u64 *ns)
{
	(void)d;
	/* Called once more for a device that is attached again. */
	halves -= !!halves;
	*ns = PCI_RESET_NS;
	if (halves)
		return PCI_RESET_WAIT;
	if (reset_is_lost)
		return PCI_RESET_LOST;
	if (silent_ms >= answers_after_ms) {
		silent_ms = 0;
		return PCI_RESET_DONE;
	}
	silent_ms += PCI_RESET_MS;
	reset_is_lost = silent_ms >= PCI_RESET_READY_MS;
	if (reset_is_lost)
		memset(config, 0xff, 4);
	return PCI_RESET_WAIT;
}

bool pci_reset_is_slow(const struct pci_device *d)
{
	(void)d;
	return silent_ms >= PCI_RESET_SLOW_MS;
}

/* What the scan of the buses finds: nothing but the device. */
bool pci_config_segment(u32 index, u16 *segment)
{
	*segment = 0;
	return !index;
}

bool pci_exists(u16 segment, u16 bdf)
{
	return !segment && bdf == device.id.bdf && config[0] != 0xff;
}

bool pci_is_bridge(const struct pci_device *d)
{
	return d->header == PCI_HEADER_TYPE_BRIDGE;
}

u8 pci_secondary_bus(const struct pci_device *bridge)
{
	return pci_read8(bridge, PCI_SECONDARY_BUS);
}

static u32 added, read_again;

struct pci_device *pci_add_late(struct pci_id id)
{
	added += pci_exists(id.segment, id.bdf);
	return NULL;
}

void pci_read_again(struct pci_device *d)
{
	read_again++;
	memcpy(&d->vendor, config, 2);
	memcpy(&d->device, config + 2, 2);
}

static u64 now_ns;

u64 clock_ns(void)
{
	return now_ns;
}

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	t->fn = fn;
}

void timer_set(struct timer *t, u64 ns)
{
	(void)ns;
	for (u32 i = 0; i < nr_timers; i++)
		if (timers[i] == t)
			return;
	assert_true(nr_timers < ARRAY_SIZE(timers));
	timers[nr_timers++] = t;
}

static struct work *queued, *forgotten;

void work_init(struct work *w, enum step (*step)(struct work *w))
{
	w->step = step;
}

void work_queue(struct work *w)
{
	assert_true(!queued || queued == w);
	queued = w;
}

void work_forget(struct work *w)
{
	forgotten = w;
}

bool work_run(void)
{
	struct work *w = queued;

	if (!w)
		return false;
	queued = forgotten = NULL;
	if (w->step(w) == STEP_MORE && forgotten != w)
		queued = w;
	return true;
}

static inline void unit_may_answer(void);

/* The timer that was set last fires, and the work it queues runs. */
static inline void fire_one(void)
{
	struct timer *t;

	assert_true(nr_timers > 0);
	t = timers[--nr_timers];
	t->fn(t);
	unit_may_answer();
	while (work_run())
		;
}

/* All timers that are set once no work is left. Each is in a record that is kept until then. */
static inline void fire(void)
{
	u32 nr;

	while (work_run())
		;
	nr = nr_timers;
	do
		fire_one();
	while (--nr);
}

void irq_wait(void)
{
	fire();
}

/* Until no function is being attached or detached. */
static inline u32 settle(void)
{
	u32 attached;

	while (!vpci_settled(&dom, &attached)) {
		while (work_run())
			;
		if (nr_timers)
			irq_wait();
	}
	return attached;
}

static u32 events;

static u32 reboots; /* asked for by the guest */

void domain_reboot(struct domain *d, const char *why, u64 status)
{
	assert_ptr_equal(d, &dom);
	(void)why, (void)status;
	reboots++;
}

void domain_event(struct domain *d, u32 bits)
{
	assert_ptr_equal(d, &dom);
	events |= bits;
}

static bool cpus_flushed;

bool shootdown_done(struct nested *n, u64 generation)
{
	(void)n, (void)generation;
	return cpus_flushed;
}

static int map_steps, map_result;

int memory_map_for_devices(struct memory *m, gfn_t *gfn)
{
	assert_ptr_equal(m, &dom.vm.memory);
	assert_false(attached);
	*gfn += 512;
	if (map_steps)
		return map_steps-- == 2 ? STEP_WAIT : STEP_MORE;
	return map_result;
}

volatile void *mmio_map(paddr_t pa, size_t size)
{
	if (pba_in_bar0 && pa == BAR0_BASE + PBA_IN_BAR0 && size == PAGE_SIZE)
		return bar0_page;
	assert_true(pa >= BAR3_BASE && pa + size <= BAR3_BASE + BAR3_SIZE);
	return bar3 + (pa - BAR3_BASE);
}

void *kzalloc(size_t size)
{
	return calloc(1, size);
}

void kfree(void *p)
{
	free(p);
}

#define WINDOW_FIRST 0xe0000UL
#define WINDOW_FRAMES (0xfec00UL - WINDOW_FIRST)
static mfn_t direct[WINDOW_FRAMES]; /* what the guest's frames of the window map to; 0: nothing */

static u64 page_cost = 1; /* entries that a page stands for */
static u64 visited; /* entries in this access or step */

static inline void visit(u64 *budget)
{
	u64 cost = MIN(*budget, page_cost);

	*budget -= cost;
	visited += cost;
}

int memory_map_device(struct memory *m, gfn_t *from, gfn_t end, mfn_t mfn, u64 *budget)
{
	gfn_t gfn = *from;
	u64 nr = end - gfn;

	(void)m;
	assert_true(end > gfn);
	/* Only the device's own pages may be mapped, never a page with the MSI-X table or its
	 * pending bits, and only inside the guest's window. */
	assert_true((mfn >= BAR0_BASE >> 12 && mfn + nr <= (BAR0_BASE + 0x20000) >> 12) ||
		    (mfn > BAR3_BASE >> 12 && mfn + nr <= (BAR3_BASE + BAR3_SIZE) >> 12));
	assert_true(gfn >= WINDOW_FIRST && gfn + nr <= WINDOW_FIRST + WINDOW_FRAMES);
	for (u64 i = 0; i < nr; i++)
		assert_true(pba_outside ||
			    (mfn + i) << 12 !=
				    (pba_in_bar0 ? BAR0_BASE + PBA_IN_BAR0 : BAR3_BASE + 0x2000));
	for (; *from < end && *budget; (*from)++, mfn++) {
		if (direct[*from - WINDOW_FIRST])
			return -EEXIST;
		direct[*from - WINDOW_FIRST] = mfn;
		direct_pages++;
		visit(budget);
	}
	return *from < end ? STEP_MORE : STEP_DONE;
}

enum step memory_unmap_device(struct memory *m, gfn_t *from, gfn_t end, u64 *budget)
{
	(void)m;
	assert_true(*from >= WINDOW_FIRST && *from < end);
	assert_true(end <= WINDOW_FIRST + WINDOW_FRAMES);
	for (; *from < end && *budget; (*from)++) {
		/* What is unmapped has been mapped. */
		assert_true(direct[*from - WINDOW_FIRST]);
		direct_pages--;
		direct[*from - WINDOW_FIRST] = 0;
		visit(budget);
	}
	return *from < end ? STEP_MORE : STEP_DONE;
}

int irq_alloc(u32 cpu, void (*handler)(void *arg), void *arg)
{
	assert_int_equal(cpu, 0);
	irq_handler[0x30 + irqs] = handler;
	irq_arg[0x30 + irqs] = arg;
	return 0x30 + irqs++;
}

static u32 vectors_of_a_cpu = 176;

u32 irq_count_free(u32 cpu)
{
	assert_true(cpu < MAX_CPUS);
	return vectors_of_a_cpu - (u32)irqs;
}

void irq_free(u32 cpu, int vector)
{
	(void)cpu, (void)vector;
	irqs--;
}

static bool quarantined;

enum iommu_device_state iommu_device_state(struct pci_id dev)
{
	(void)dev;
	return !attached   ? IOMMU_DEVICE_FREE :
	       quarantined ? IOMMU_DEVICE_QUARANTINED :
			     IOMMU_DEVICE_ATTACHED;
}

static bool over_a_unit;

bool iommu_overlaps(paddr_t first, paddr_t last)
{
	assert_true(first <= last);
	return over_a_unit;
}

const char *iommu_why_not(struct pci_id dev, bool trusted)
{
	(void)dev, (void)trusted;
	return NULL;
}

const char *iommu_why_not_beside(const struct iommu_domain *d, struct pci_id dev)
{
	(void)d, (void)dev;
	return NULL;
}

void iommu_expect(struct iommu_domain *d, struct pci_id dev)
{
	(void)d, (void)dev;
}

const char *pci_reset_method(const struct pci_device *d)
{
	(void)d;
	return "function-level reset";
}

const char *iommu_why_no_ats(struct pci_id dev)
{
	(void)dev;
	return "it has no ATS capability";
}

struct domain *domain_get_from(u16 id)
{
	(void)id;
	return &dom;
}

void domain_put(struct domain *d)
{
	(void)d;
}

static int attach_result;

int iommu_attach(struct iommu_domain *d, struct pci_id dev, u32 flags)
{
	(void)flags;
	(void)d, (void)dev;
	assert_false(config[PCI_COMMAND] & 4);
	attached = !attach_result;
	return attach_result;
}

void iommu_detach(struct pci_id dev, void (*done)(void *arg), void *arg)
{
	(void)dev;
	assert_false(config[PCI_COMMAND] & 4);
	attached = false;
	done(arg);
}

/* The unit. An entry that is not present may be cached: until the invalidation is answered, a
 * message is a fault. */
static bool unit_is_slow; /* it answers when unit_answers() says so */
static u64 irtes_set, irtes_open; /* entries that are set; that the unit delivers */
static u64 irtes_changed; /* not answered yet */
static bool irtes_blocked;
static u32 invalidations;
static void (*irtes_in_force)(void *arg, u64 entries);
static void *irtes_arg;

static inline void unit_answers(void)
{
	u64 changed = irtes_changed;

	irtes_changed = 0;
	irtes_open = irtes_blocked ? 0 : irtes_open | (changed & irtes_set);
	if (changed & irtes_open && irtes_in_force)
		irtes_in_force(irtes_arg, changed & irtes_open);
}

/* The unit answers at the end of the guest's access. */
static inline void unit_may_answer(void)
{
	while (!unit_is_slow && irtes_changed)
		unit_answers();
}

int iommu_irtes_alloc(struct iommu_irtes *e, struct pci_id dev,
		      void (*in_force)(void *arg, u64 entries), void *arg)
{
	assert_int_equal(irtes, 0);
	*e = (struct iommu_irtes){ .dev = dev, .first = IOMMU_IRTES, .valid = true };
	irtes++;
	irtes_set = irtes_open = irtes_changed = 0;
	irtes_blocked = false;
	irtes_in_force = in_force;
	irtes_arg = arg;
	return 0;
}

void iommu_irtes_set(const struct iommu_irtes *e, u32 i, u32 apic_id, u8 vector)
{
	(void)apic_id;
	assert_true(e->valid && i < IOMMU_IRTES && vector >= 0x30);
	irtes_set |= BIT(i);
	irtes_changed |= BIT(i);
	invalidations++;
}

void iommu_irtes_block(const struct iommu_irtes *e, bool blocked)
{
	assert_true(e->valid);
	irtes_blocked = blocked;
	irtes_changed |= irtes_set;
	invalidations++;
	if (blocked && !unit_is_slow)
		irtes_open = 0;
}

void iommu_irtes_free(struct iommu_irtes *e, void (*done)(void *arg), void *arg)
{
	assert_true(e->valid);
	e->valid = false;
	irtes--;
	irtes_in_force = NULL;
	irtes_set = irtes_open = irtes_changed = 0;
	if (done)
		done(arg);
}

void iommu_irtes_message(const struct iommu_irtes *e, u32 i, u64 *address, u32 *data)
{
	assert_true(e->valid);
	*address = 0xfee00010UL | (u64)(e->first + i) << 5;
	*data = 0;
}

void vlapic_deliver(struct vcpu *v, u8 vector)
{
	delivered_vcpu = (int)v->id;
	delivered_vector = vector;
	deliveries++;
	delivered_to |= 1u << v->id;
}

static inline void put32(u32 offset, u32 v)
{
	memcpy(&config[offset], &v, 4);
}

static inline u32 get32(u32 offset)
{
	u32 v;

	memcpy(&v, &config[offset], 4);
	return v;
}

static inline int setup(void **state)
{
	(void)state;
	memset(config, 0, sizeof(config));
	memset(bar3, 0, sizeof(bar3));
	put32(0x00, 0x10d38086);
	put32(0x04, 0x00100007);
	put32(0x08, 0x02000000);
	put32(0x10, (u32)BAR0_BASE);
	put32(0x1c, (u32)BAR3_BASE);
	put32(0x34, CAP_PM_AT);
	put32(CAP_PM_AT, 0xc8220001 | (u32)msi_at << 8);
	put32(msi_at, 0x00000005 | CAP_PCIE_AT << 8 | (u32)msi_control << 16);
	put32(CAP_PCIE_AT, 0x00010010 | CAP_MSIX_AT << 8);
	put32(CAP_PCIE_AT + 4, 0x10008cc1);
	put32(CAP_MSIX_AT, 0x00000011 | CAP_VENDOR_AT << 8 | (msix_vectors - 1) << 16);
	put32(CAP_MSIX_AT + 4, 3);
	put32(CAP_MSIX_AT + 8, pba_outside ? (u32)BAR3_SIZE | 3 :
			       pba_in_bar0 ? PBA_IN_BAR0 :
					     0x2000 | 3);
	put32(CAP_VENDOR_AT, 0x00000009 | CAP_VENDOR_LENGTH << 16);
	for (u32 i = 1; i < 8; i++) /* more than belongs to it */
		put32(CAP_VENDOR_AT + 4 * i, VENDOR_WORD(i));
	device = (struct pci_device){
		.id = { 0, PCI_BDF(0, 3, 0) },
		.vendor = 0x8086,
		.device = 0x10d3,
		.class = 0x0200,
		.pm = CAP_PM_AT,
		.msi = msi_at,
		.msix = CAP_MSIX_AT,
		.pcie = CAP_PCIE_AT,
		.vendor_cap = { CAP_VENDOR_AT },
		.bars_ok = true,
	};
	device.bar[0] = (struct pci_bar){ .base = BAR0_BASE, .size = 0x20000 };
	device.bar[2] = (struct pci_bar){ .base = 0xc000, .size = 32, .io = true };
	device.bar[3] = (struct pci_bar){ .base = BAR3_BASE, .size = BAR3_SIZE };

	memset(&dom, 0, sizeof(dom));
	bus_init(&dom.vm.io, dom.name, "I/O ports");
	bus_init(&dom.vm.mmio, dom.name, "memory");
	dom.id = 7;
	strcpy(dom.name, "net0");
	dom.vm.nr_vcpus = 2;
	for (u32 i = 0; i < 2; i++) {
		vcpus[i].id = i;
		dom.vm.vcpu[i] = &vcpus[i];
	}
	irqs = irtes = 0;
	unit_is_slow = false;
	direct_pages = 0;
	events = 0;
	now_ns = 1;
	irqstorm_set_limit(0);
	nr_timers = 0;
	said[0] = 0;
	map_steps = map_result = attach_result = 0;
	cpus_flushed = true;
	return vpci_init(&dom) || assign_start(&dom, &device, 0) || settle() != 1;
}

static bool removed;

static inline void mark_removed(void *arg)
{
	(void)arg;
	removed = true;
}

static inline void check_free(void)
{
	assert_int_equal(device.state, PCI_FREE);
	assert_int_equal(device.owner, 0);
	assert_false(attached);
	assert_int_equal(irqs, 0);
	assert_int_equal(irtes, 0);
	assert_int_equal(direct_pages, 0);
	assert_int_equal(dom.vm.mmio.nr, 0);
}

static inline int teardown(void **state)
{
	bool had_device = device.state != PCI_FREE;

	(void)state;
	removed = false;
	vpci_end(&dom, mark_removed, NULL);
	if (had_device) {
		/* Not before the reset is over. */
		assert_false(removed);
		fire();
	}
	assert_true(removed);
	assert_null(dom.pci);
	check_free();
	return 0;
}

/* Devices whose MSI capability is another one. */
static inline int setup_short_msi(void **state)
{
	msi_at = CAP_PCIE_AT - 12;
	msi_control = 0;
	return setup(state);
}

static inline int setup_msi_with_masks(void **state)
{
	msi_at = CAP_VENDOR_AT - 24;
	msi_control = PCI_MSI_64 | PCI_MSI_MASKS;
	return setup(state);
}

static inline int setup_short_msi_with_masks(void **state)
{
	msi_at = CAP_VENDOR_AT - 20;
	msi_control = PCI_MSI_MASKS;
	return setup(state);
}

static inline int teardown_msi(void **state)
{
	int ret = teardown(state);

	msi_at = CAP_MSI_AT;
	msi_control = PCI_MSI_64;
	return ret;
}

/* --- the guest ------------------------------------------------------------ */

static inline u64 in(u16 port, unsigned int size)
{
	u64 value;

	assert_int_equal(bus_read(&dom.vm.io, &vcpus[0], port, size, &value), 0);
	return value;
}

/* True if the guest must do it again. */
static inline bool try_out(u16 port, unsigned int size, u64 value)
{
	int ret;

	visited = 0;
	ret = bus_write(&dom.vm.io, &vcpus[0], port, size, value);
	assert_true(!ret || ret == -EAGAIN);
	assert_true(visited <= MEMORY_STEP_ENTRIES);
	unit_may_answer();
	return ret;
}

static u32 times; /* that the last write was repeated */

static inline void out(u16 port, unsigned int size, u64 value)
{
	times = 0;
	while (try_out(port, size, value))
		assert_true(++times < 10000);
}

static inline void select_register(u32 slot, u32 offset)
{
	out(0xcf8, 4, 0x80000000 | slot << 11 | (offset & 0xfc));
}

static inline u32 cfg_read(u32 slot, u32 offset, unsigned int size)
{
	select_register(slot, offset);
	return (u32)in((u16)(0xcfc + offset % 4), size);
}

static inline void cfg_write(u32 slot, u32 offset, unsigned int size, u32 value)
{
	select_register(slot, offset);
	out((u16)(0xcfc + offset % 4), size, value);
}

static inline u64 mem_read(u64 gpa, unsigned int size)
{
	u64 value;

	assert_int_equal(bus_read(&dom.vm.mmio, &vcpus[0], gpa, size, &value), 0);
	return value;
}

static inline void mem_write(u64 gpa, unsigned int size, u64 value)
{
	assert_int_equal(bus_write(&dom.vm.mmio, &vcpus[0], gpa, size, value), 0);
	unit_may_answer();
}

/* Sends interrupts of one vector in succession; returns how many arrived. */
static inline int interrupts(u32 which, int nr)
{
	int arrived = 0;

	for (; nr; nr--) {
		delivered_vector = -1;
		irq_handler[0x30 + which](irq_arg[0x30 + which]);
		unit_may_answer();
		arrived += delivered_vector >= 0;
	}
	return arrived;
}

static inline bool msi_is_masked(void)
{
	return msi_control & PCI_MSI_MASKS &&
	       get32(msi_at + (msi_control & (u32)PCI_MSI_64 ? 16 : 12)) & 1;
}

/* What must hold whatever a guest does. */
static inline void check_device(void)
{
	assert_int_equal(get32(0x10), BAR0_BASE);
	assert_int_equal(get32(0x1c), BAR3_BASE);
	assert_int_equal(get32(0x30), 0);
	/* Memory decoding stays on, I/O decoding off, legacy interrupts off. */
	assert_int_equal(config[PCI_COMMAND] & 3, 2);
	assert_true(config[PCI_COMMAND + 1] & 4);
	assert_int_equal(config[PCI_COMMAND] & ~6, 0);
	/* MSI: off, or a message in remappable format. */
	if (config[msi_at + 2] & 1) {
		assert_int_equal(get32(msi_at + 4) & 0xfff00010, 0xfee00010);
		assert_int_equal(get32(msi_at + 8), 0);
		/* It sends only what the unit is known to deliver. */
		if (!msi_is_masked())
			assert_true(irtes_open >> MIN(msix_vectors, IOMMU_IRTES - 1) & 1);
	}
	assert_int_equal(get32(CAP_PM_AT + 4), 0);
	/* Device control: no phantom functions, whose requests carry other ids (XSA-449), no
	 * reset. */
	assert_int_equal(config[CAP_PCIE_AT + 8] | config[CAP_PCIE_AT + 9], 0);
	for (u32 i = 1; i < 8; i++)
		assert_int_equal(get32(CAP_VENDOR_AT + 4 * i), VENDOR_WORD(i));
	for (u32 i = 0; i < msix_vectors; i++) {
		u32 e[4];

		memcpy(e, bar3 + 16 * i, sizeof(e));
		/* What the guest does not see stays masked. */
		assert_true(e[3] & 1 || i < IOMMU_IRTES - 1);
		if (!(e[3] & 1) && (config[CAP_MSIX_AT + 3] & 0x80)) {
			assert_int_equal(e[0] & 0xfff00010, 0xfee00010);
			assert_int_equal(e[1], 0);
			assert_int_equal(e[2], 0);
			if (!(config[CAP_MSIX_AT + 3] & 0x40))
				assert_true(irtes_open >> i & 1);
		}
	}
}

static inline void take_device(void)
{
	assert_int_equal(assign_take(&device), 0);
	fire();
	check_free();
}
