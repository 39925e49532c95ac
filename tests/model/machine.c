/* The machine around the remapping units: memory, as seen by CPUs and by a walker that does not
 * snoop; clock, timers, interrupts, PCI. */
#include <stdlib.h>
#include <sys/mman.h>

#include <drivers/pci.h>
#include <drivers/pcidma.h>
#include <iommu/hw.h>
#include <kernel/core/clock.h>
#include <kernel/core/irq.h>
#include <kernel/core/lapic.h>
#include <kernel/core/paging.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frame.h>
#include <tests/model/random.h>
#include <tests/model/unit.h>

#define LINE 64UL
#define ALLOC_END (MACHINE_ALLOC_FIRST + MACHINE_ALLOC_FRAMES)

_Thread_local u64 random_state = 1;
_Thread_local const u8 *random_script, *random_script_end;

static u8 *memory;
static u64 frames; /* of it */
static u8 *written_back; /* the allocator's frames, which include all tables */
static void *frame_memory;
u32 *vtd_pointers_to;
static u64 now;

/* --- memory --------------------------------------------------------------- */

void *phys_to_virt(paddr_t pa)
{
	vtd_require(pa < frames << PAGE_SHIFT, "there is no memory at 0x%lx", pa);
	return memory + pa;
}

bool machine_has(const void *va)
{
	return (const u8 *)va >= memory && (const u8 *)va < memory + (frames << PAGE_SHIFT);
}

paddr_t virt_to_phys(const void *va)
{
	vtd_require(machine_has(va), "%p is no memory of the machine", va);
	return (paddr_t)((const u8 *)va - memory);
}

static bool may_be_table(paddr_t pa)
{
	return pa >> PAGE_SHIFT >= MACHINE_ALLOC_FIRST && pa >> PAGE_SHIFT < ALLOC_END;
}

u64 machine_walker_read(const struct vtd_unit *u, paddr_t pa)
{
	u64 e;

	vtd_require(may_be_table(pa), "a walk leads to 0x%lx, where no table can be", pa);
	e = load_acquire((u64 *)((vtd_reg64(u, ECAP_REG) & ECAP_C ? memory : written_back) + pa));
	vtd_require(e != POISON_ENTRY,
		    "a walk reads 0x%lx: a table that was freed, or never written back", pa);
	return e;
}

void machine_evict(paddr_t pa)
{
	u64 *from = (u64 *)(memory + ALIGN_DOWN(pa, LINE)),
	    *to = (u64 *)(written_back + ALIGN_DOWN(pa, LINE));

	for (unsigned int i = 0; may_be_table(pa) && i < LINE / sizeof(u64); i++)
		store_release(&to[i], read_once(&from[i]));
}

void (*vtd_before_write_back)(void);

void hw_write_back(const void *p, size_t n)
{
	paddr_t pa = virt_to_phys(p), end = pa + n;

	if (vtd_before_write_back)
		vtd_before_write_back();
	if (!may_be_table(pa))
		return;
	for (pa = ALIGN_DOWN(pa, LINE); pa < end; pa += LINE)
		machine_evict(pa);
}

static void poison(u8 *at, u64 bytes)
{
	for (u64 i = 0; i < bytes; i += sizeof(u64))
		write_once((u64 *)(at + i), POISON_ENTRY);
}

/* Wraps the allocator's function: a table is freed. */
void __real_free_page(void *page);
void __wrap_free_page(void *page);
void __wrap_free_page(void *page)
{
	u32 *users;

	if (!page)
		return;
	users = &vtd_pointers_to[virt_to_mfn(page)];
	vtd_require(!read_once(users),
		    "the table at 0x%lx is freed, and %u caches have its address still",
		    virt_to_phys(page), *users);
	poison(page, PAGE_SIZE);
	poison(written_back + virt_to_phys(page), PAGE_SIZE);
	__real_free_page(page);
}

static void *reserve(u64 bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	vtd_require(p != MAP_FAILED, "the host has no memory for the machine");
	return p;
}

void machine_start(u64 nr_frames)
{
	now = 0;
	frames = nr_frames;
	memory = reserve(frames << PAGE_SHIFT);
	written_back = reserve(ALLOC_END << PAGE_SHIFT);
	poison(written_back + MACHINE_ALLOC_FIRST * PAGE_SIZE, MACHINE_ALLOC_FRAMES * PAGE_SIZE);
	vtd_pointers_to = reserve(frames * sizeof(*vtd_pointers_to));
	frame_memory = reserve(frame_table_size(frames));
	frame_table_init(frame_memory, frames);
	alloc_add(MACHINE_ALLOC_FIRST, MACHINE_ALLOC_FRAMES);
}

/* Takes all memory out of the allocator, for the next machine. */
void machine_stop(void)
{
	for (unsigned int order = ALLOC_MAX_ORDER + 1; order--;)
		while (alloc_frames(order) != INVALID_MFN)
			;
	munmap(memory, frames << PAGE_SHIFT);
	munmap(written_back, ALLOC_END << PAGE_SHIFT);
	munmap(vtd_pointers_to, frames * sizeof(*vtd_pointers_to));
	munmap(frame_memory, frame_table_size(frames));
}

/* --- clock and timers ----------------------------------------------------- */

u64 vtd_clock_step = 100;

u64 clock_ns(void)
{
	return atomic_add(&now, vtd_whims ? 1 + below(100000) : vtd_clock_step);
}

u64 hw_cycles(void)
{
	return clock_ns();
}

u64 hw_cycles_to_ns(u64 cycles)
{
	return cycles;
}

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	(void)t, (void)fn;
}

void timer_set(struct timer *t, u64 ns)
{
	(void)t, (void)ns;
}

void timer_cancel(struct timer *t)
{
	(void)t;
}

/* --- interrupts ----------------------------------------------------------- */

static struct {
	void (*handler)(void *arg);
	void *arg;
} irqs[256];
static int next_irq;

int irq_alloc(u32 cpu, void (*handler)(void *arg), void *arg)
{
	int vector = next_irq++ % 256;

	(void)cpu;
	irqs[vector].handler = handler;
	irqs[vector].arg = arg;
	return vector;
}

void irq_msi_message(u32 cpu, int vector, u64 *address, u32 *data)
{
	(void)cpu;
	*address = 0xfee00000;
	*data = (u32)vector;
}

void irq_wait(void)
{
	for (unsigned int i = 0; i < VTD_UNITS; i++)
		vtd_execute(i, ~0u);
	vtd_interrupts();
}

static bool deliver(struct vtd_unit *u, bool *raised, u32 control, u32 data)
{
	bool deliverable;
	u32 vector;

	pthread_mutex_lock(&u->lock);
	deliverable = *raised && !(vtd_reg32(u, control) & EVENT_IM);
	if (deliverable)
		*raised = false;
	pthread_mutex_unlock(&u->lock);
	if (!deliverable)
		return false;
	vector = vtd_reg32(u, data) & 0xff;
	irqs[vector].handler(irqs[vector].arg);
	return true;
}

bool vtd_interrupts(void)
{
	bool any = false;

	for (unsigned int i = 0; i < VTD_UNITS; i++) {
		struct vtd_unit *u = &vtd_units[i];

		any |= deliver(u, &u->interrupt_raised, IECTL_REG, IEDATA_REG);
		any |= deliver(u, &u->fault_raised, FECTL_REG, FEDATA_REG);
	}
	return any;
}

bool lapic_is_x2apic(void)
{
	return true;
}

/* --- PCI ------------------------------------------------------------------ */

const struct pci_id vtd_devices[VTD_DEVICES] = {
	{ 0, PCI_BDF(0, 3, 0) }, { 0, PCI_BDF(0, 4, 0) }, { 0, PCI_BDF(0, 5, 0) },
	{ 0, PCI_BDF(0, 6, 0) }, { 0, PCI_BDF(2, 0, 0) }, { 0, PCI_BDF(2, 0, 1) },
};
bool vtd_ats[VTD_DEVICES], vtd_stopped[VTD_DEVICES], vtd_gone[VTD_DEVICES];

u32 pci_config_read32(u16 segment, u16 bdf, u16 offset)
{
	(void)segment, (void)bdf, (void)offset;
	return 0;
}

/* False: no such device. */
static bool find_device(u16 bdf, int *i)
{
	for (*i = 0; *i < VTD_DEVICES; (*i)++)
		if (vtd_devices[*i].bdf == bdf)
			return true;
	return false;
}

/* Virtual functions have no vendor id. */
bool pci_exists(u16 segment, u16 bdf)
{
	int i;

	(void)segment;
	if (vtd_virtual.bdf && bdf == vtd_virtual.bdf)
		return false;
	return !find_device(bdf, &i) || !read_once(&vtd_gone[i]);
}

int vtd_device_index(struct pci_id dev)
{
	int i;

	vtd_require(find_device(dev.bdf, &i), "no such device: %04x", dev.bdf);
	return i;
}

/* Tests that have a list of their own replace this. */
__attribute__((weak)) struct pci_device *pci_device_at(u32 i)
{
	static struct pci_device device[VTD_DEVICES];

	if (i >= VTD_DEVICES)
		return NULL;
	device[i].id = vtd_devices[i];
	return &device[i];
}

struct pci_id vtd_virtual, vtd_physical;

struct pci_id pci_physical(struct pci_id id)
{
	return vtd_virtual.bdf && id.bdf == vtd_virtual.bdf ? vtd_physical : id;
}

const u32 vtd_ats_depth[VTD_DEVICES] = { 4, 4, 1, 32, 2, 8 };
u32 vtd_ats_depth_reads;

u32 pci_ats_depth(struct pci_id id)
{
	vtd_ats_depth_reads++;
	return vtd_ats_depth[vtd_device_index(id)];
}

/* Enabling ATS empties the device's TLB. Disabling it does not, since a device may ignore that. */
void pci_ats_enable(struct pci_id id)
{
	int i = vtd_device_index(id);
	struct vtd_unit *u = &vtd_units[vtd_unit_of_device((unsigned int)i)];

	pthread_mutex_lock(&u->lock);
	vtd_ats[i] = true;
	cache_drop_all(&vtd_device_states[i].tlb);
	pthread_mutex_unlock(&u->lock);
}

void pci_stop(struct pci_id id)
{
	int i = vtd_device_index(id);
	struct vtd_unit *u = &vtd_units[vtd_unit_of_device((unsigned int)i)];

	pthread_mutex_lock(&u->lock);
	vtd_ats[i] = false;
	vtd_stopped[i] = true;
	pthread_mutex_unlock(&u->lock);
}
