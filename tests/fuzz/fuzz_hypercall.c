/* Two guests make hypercalls, the second of them as the control domain, with the real memory code,
 * nested tables and IOMMU core, and with a device and CPUs that answer when the input says so.
 * Whatever they request: only the caller's own memory is written and released; memory that it gets
 * is zeroed and its own; no register but RAX changes; nothing privileged is done for the
 * unprivileged guest; in the end CPUs and the device see the same memory, and all of it is free
 * again.
 *
 * An input is a list of operations: one byte is the operation, the following bytes are its
 * arguments.
 *
 * sources: $(IOMMU_SRCS) kernel/guest/exit/hypercall.c kernel/guest/exit/control.c
 * sources: kernel/guest/devices/guestconsole.c kernel/guest/devices/hostconsole.c
 * sources: kernel/guest/devices/guestscreen.c
 * sources: kernel/guest/domain/event.c kernel/guest/exit/stats.c $(MEMORY_SRCS)
 * libs: $(IOMMU_LIBS) -lpthread
 * flags: -fno-sanitize-coverage=trace-cmp,indirect-calls
 */
#include <tests/fuzz/fuzz.h>

#include <kernel/guest/exit/hypercall.h>

#include <drivers/pci.h>
#include <drivers/pcipresence.h>
#include <drivers/pcireset.h>
#include <iommu/iommu.h>
#include <kernel/abi/control.h>
#include <kernel/abi/hypercall.h>
#include <kernel/abi/iommu.h>
#include <kernel/mm/alloc.h>
#include <kernel/guest/devices/legacy/vvga.h>
#include <kernel/guest/devices/pci/assign.h>
#include <kernel/guest/devices/pci/assignable.h>
#include <kernel/guest/devices/pci/rescan.h>
#include <kernel/core/console_input.h>
#include <kernel/guest/exit/control.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/frame.h>
#include <kernel/guest/devices/guestconsole.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/populate.h>
#include <kernel/guest/memory/memrelease.h>
#include <kernel/guest/memory/devicemap.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/core/paging.h>
#include <kernel/guest/memory/pool.h>
#include <kernel/guest/memory/shootdown.h>
#include <kernel/guest/vcpu/vcpustate.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <tests/unit/memory_build.h>
#include <tests/unit/nested_format.h>
#include <tests/unit/vtd_check.h>

#define FRAMES 576UL /* per domain: a block of 2 MiB, and some single pages */
#define DOMAINS 2
#define MAX_OPERATIONS 200

static struct domain dom[DOMAINS];
static struct vcpu vcpu[DOMAINS];
static struct pci_device devices[VTD_DEVICES];

/* --- what the hypercalls call --------------------------------------------- */

static u8 cpl;
static bool parked, prepared, privileged_done;

void vcpu_prepare_park(struct vcpu *v)
{
	(void)v;
	prepared = true;
}

void vcpu_park(struct vcpu *v)
{
	(void)v;
	assert_true(prepared);
	parked = true;
}

void vlapic_deliver(struct vcpu *v, u8 vector)
{
	assert_true(v == &vcpu[0] || v == &vcpu[1]);
	assert_in_range(vector, 16, 255);
}

struct domain *domain_get(u16 id)
{
	if (id < 1 || id > DOMAINS || dom[id - 1].state == DOMAIN_DYING)
		return NULL;
	dom[id - 1].users++;
	return &dom[id - 1];
}

void domain_put(struct domain *d)
{
	assert_true(d->users > 0);
	d->users--;
}

struct domain *domain_get_from(u16 id)
{
	id = MAX(id, (u16)1);
	if (id > DOMAINS)
		return NULL;
	dom[id - 1].users++;
	return &dom[id - 1];
}

void domain_describe(const struct domain *d, struct weir_domain_info *info)
{
	*info = (struct weir_domain_info){ .id = d->id };
}

void domain_make_control(struct domain *d)
{
	d->privileged = true;
}

struct domain *domain_get_control(void)
{
	return domain_get(2);
}

void domain_shutdown(struct domain *d, const char *why, u64 status)
{
	(void)why, (void)status;
	d->state = DOMAIN_DYING;
}

void domain_reboot(struct domain *d, const char *why, u64 status)
{
	(void)why, (void)status;
	d->state = DOMAIN_DYING;
}

void console_input_start(size_t (*room)(void), void (*receive)(u8 c))
{
	(void)room, (void)receive;
}

size_t log_copy(u64 *position, u64 *end, char *buf, size_t size)
{
	static const u64 written = 10000;
	size_t n = 0;

	privileged_done = true;
	for (; n < size && *position < written; n++)
		buf[n] = (char)(*position)++;
	*end = written;
	return n;
}

void vuart_selected(struct vuart *u)
{
	(void)u;
	privileged_done = true;
}

struct vvga_view vvga_view(struct legacy *l)
{
	assert_null(l);
	return (struct vvga_view){ 0x3f00, 0x3f01, true };
}

static size_t uart_room;

size_t vuart_room(struct vuart *u)
{
	(void)u;
	return uart_room;
}

void vuart_receive(struct vuart *u, u8 c)
{
	(void)u, (void)c;
	assert_true(uart_room-- > 0);
	privileged_done = true;
}

bool pool_reclaim(u64 nr)
{
	(void)nr;
	privileged_done = true;
	return false;
}

void pool_return(void)
{
	privileged_done = true;
}

u64 pool_frames(u64 *carved)
{
	privileged_done = true;
	return *carved = 0;
}

/* --- devices -------------------------------------------------------------- */

struct pci_device *pci_find(struct pci_id id)
{
	for (u32 i = 0; i < VTD_DEVICES; i++)
		if (!id.segment && devices[i].id.bdf == id.bdf)
			return &devices[i];
	return NULL;
}

struct pci_device *pci_device_at(u32 index)
{
	return index < VTD_DEVICES ? &devices[index] : NULL;
}

const char *pci_reset_method(const struct pci_device *d)
{
	return d->id.bdf & 8 ? "function-level reset" : NULL;
}

enum pci_presence pci_look(struct pci_device *d)
{
	return pci_seen(d);
}

enum pci_presence pci_seen(const struct pci_device *d)
{
	return d->id.bdf & 16 ? PCI_GONE : PCI_PRESENT;
}

const char *pci_presence_why_not(enum pci_presence presence)
{
	return presence == PCI_GONE ? "gone" : NULL;
}

int rescan_step(u32 *position)
{
	privileged_done = true;
	return (*position += 7) < 1000000;
}

const char *assignable_why_never(const struct pci_device *dev, bool trusted)
{
	return iommu_why_not(dev->id, trusted);
}

const char *assignable_why_not(const struct domain *d, const struct pci_device *dev, u32 flags,
			       char *buf, size_t size)
{
	(void)flags;
	assert_int_equal(d->state, DOMAIN_RUNNING);
	snprintf(buf, size, "%s", dev->id.bdf & 8 ? "" : "no MSI");
	return *buf ? buf : NULL;
}

int assign_start(struct domain *d, struct pci_device *dev, u32 flags)
{
	assert_int_equal(d->state, DOMAIN_RUNNING);
	assert_true(d->users > 0 && !(flags & ~IOMMU_ATS));
	assert_int_equal(dev->state, PCI_FREE);
	dev->state = PCI_ATTACHING;
	dev->owner = d->id;
	privileged_done = true;
	return 0;
}

int assign_take(struct pci_device *dev)
{
	privileged_done = true;
	if (dev->state != PCI_ATTACHING || dev == &devices[0])
		return -EBUSY;
	dev->state = PCI_FREE;
	dev->owner = 0;
	return 0;
}

bool vballoon_pages(const struct domain *d, u64 *asked, u64 *given)
{
	(void)d;
	*asked = *given = 0;
	return false;
}

int vballoon_ask(struct domain *d, u64 pages)
{
	assert_int_equal(d->state, DOMAIN_RUNNING);
	assert_true(d->users > 0);
	privileged_done = true;
	return pages & 1 ? -EINVAL : 0;
}

/* --- CPUs that have to flush ---------------------------------------------- */

#define MAX_WAITING 64
static struct iommu_batch *waiting[MAX_WAITING];
static unsigned int nr_waiting;

void shootdown_post(struct nested *n, struct iommu_gather *g)
{
	(void)n;
	assert_true(nr_waiting < MAX_WAITING);
	waiting[nr_waiting++] = iommu_gather_expect(g);
}

void shootdown_kick(struct nested *n)
{
	(void)n;
}

static void cpu_answers(unsigned int which)
{
	struct iommu_batch *b;

	if (!nr_waiting)
		return;
	which %= nr_waiting;
	b = waiting[which];
	waiting[which] = waiting[--nr_waiting];
	iommu_batch_answer(b);
}

static void settle(void)
{
	while (nr_waiting)
		cpu_answers(0);
	vtd_settle();
}

/* --- the domains' memory -------------------------------------------------- */

static struct nested_leaf lookup(struct domain *d, gfn_t gfn)
{
	struct nested_leaf at;

	spin_lock(&d->vm.memory.nested.lock);
	at = nested_lookup(&d->vm.memory.nested, gfn);
	spin_unlock(&d->vm.memory.nested.lock);
	return at;
}

static bool holds(struct domain *d, gfn_t gfn)
{
	return lookup(d, gfn).flags;
}

static bool writable(struct domain *d, gpaddr_t gpa, u64 len)
{
	for (u64 at = gpa & PAGE_MASK; len && at - (gpa & PAGE_MASK) < (gpa & ~PAGE_MASK) + len;
	     at += PAGE_SIZE)
		if (!holds(d, at >> PAGE_SHIFT))
			return false;
	return true;
}

static bool is_zero(mfn_t mfn)
{
	const u64 *p = phys_to_virt(mfn << PAGE_SHIFT);

	for (unsigned int i = 0; i < PAGE_SIZE / sizeof(*p); i++)
		if (p[i])
			return false;
	return true;
}

/* CPUs and devices see the same memory, and the domain owns it. */
static void check_memory(struct domain *d)
{
	u64 frames = 0, entry[5];

	for (gfn_t gfn = 0; gfn < FRAMES + 16; gfn++) {
		struct nested_leaf at = lookup(d, gfn);
		struct frame_info f;
		unsigned int n;
		mfn_t mfn;
		u32 perm;

		if (at.flags) {
			frames++;
			assert_true(frame_query(at.mfn, &f));
			assert_int_equal(f.type, FRAME_RAM);
			assert_int_equal(f.owner, d->id);
		}
		if (!d->vm.memory.has_devices)
			continue;
		n = iommu_walk_owner(d->id, gfn, entry, &mfn);
		assert_true(n > 0);
		assert_int_equal(iommu_entry_kind(entry[n - 1], &perm) == IOMMU_ENTRY_PRESENT,
				 at.flags != 0);
		if (at.flags)
			assert_int_equal(mfn, at.mfn);
	}
	assert_int_equal(frames, d->vm.memory.pages_owned);
	assert_true(d->vm.memory.pages_owned <= d->vm.memory.pages_limit);
	vtd_check();
}

/* --- the machine ---------------------------------------------------------- */

static void wake(void *arg)
{
	(void)arg;
}

static void mark(void *arg)
{
	*(bool *)arg = true;
}

static void start_domains(void)
{
	gfn_t gfn = 0;

	memset(dom, 0, sizeof(dom));
	memset(vcpu, 0, sizeof(vcpu));
	for (u16 i = 0; i < DOMAINS; i++) {
		struct domain *d = &dom[i];

		d->id = i + 1;
		d->vm.nr_vcpus = 1;
		d->vm.vcpu[0] = &vcpu[i];
		vcpu[i].vm = &d->vm;
		d->state = DOMAIN_RUNNING;
		assert_int_equal(memory_init(&d->vm.memory, d->id, "d", wake, NULL), 0);
		assert_int_equal(memory_build(&d->vm.memory, FRAMES << PAGE_SHIFT), 0);
	}
	control_init(&dom[1], IDENTITY_STRICT);
	for (u32 i = 0; i < VTD_DEVICES; i++)
		devices[i] = (struct pci_device){ .id = vtd_devices[i] };
	while (memory_map_for_devices(&dom[0].vm.memory, &gfn))
		settle();
	assert_int_equal(iommu_attach(dom[0].vm.memory.iommu, VTD_DEVICE_0, 0), 0);
	devices[0].state = PCI_ATTACHED;
	devices[0].owner = 1;
	settle();
}

static void end_domains(void)
{
	bool detached = false;

	iommu_detach(VTD_DEVICE_0, mark, &detached);
	settle();
	assert_true(detached);
	for (u32 i = 0; i < DOMAINS; i++) {
		struct domain *d = &dom[i];
		bool gone = false;
		gfn_t gfn = 0;

		assert_int_equal(d->users, 0);
		iommu_domain_destroy(d->vm.memory.iommu, mark, &gone);
		settle();
		assert_true(gone);
		while (memory_empty_step(&d->vm.memory, &gfn))
			;
		assert_int_equal(d->vm.memory.pages_owned, 0);
		nested_free(&d->vm.memory.nested);
	}
}

/* --- the guest's hypercalls ----------------------------------------------- */

/* Meaningful values, more often than random ones would be. */
static u64 value(struct input *in)
{
	u64 v;

	switch (take(in, 1) % 8) {
	case 0:
		return take(in, 1);
	case 1:
		return take(in, 2);
	case 2:
		return FRAMES - take(in, 1) % 128;
	case 3:
		return take(in, 2) << 3;
	case 4:
		return take(in, 8);
	case 5:
		v = take(in, 2) % (FRAMES + 4) << PAGE_SHIFT;
		return v - take(in, 1) * 8;
	case 6:
		return vtd_devices[take(in, 1) % VTD_DEVICES].bdf;
	default:
		return ~0UL - take(in, 1);
	}
}

/* The registers that hold a structure's address and size. */
static const struct {
	u64 number;
	u8 address, size;
	u64 known; /* bytes */
} answers[] = {
	{ WEIR_HC_STATS, RDI, RSI, sizeof(struct weir_stats) },
	{ WEIR_HC_DOMAIN_INFO, RSI, RDX, sizeof(struct weir_domain_info) },
	{ WEIR_HC_DEVICE_INFO, RSI, RDX, sizeof(struct weir_device_info) },
	{ WEIR_HC_DOMAIN_STATS, RSI, RDX, sizeof(struct weir_stats) },
	{ WEIR_HC_UNIT_STATS, RSI, RDX, sizeof(struct weir_unit_stats) },
	{ WEIR_HC_MEMORY_INFO, RDI, RSI, sizeof(struct weir_memory_info) },
	{ WEIR_HC_SCREEN, RSI, RDX, sizeof(struct weir_screen) },
};

static void check_answer(const struct vcpu *before, bool could_write, s64 ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		u64 gpa = before->reg[answers[i].address], size = before->reg[answers[i].size];

		if (before->reg[RAX] != answers[i].number)
			continue;
		if (ret == -EFAULT)
			assert_false(could_write);
		if (ret == -EINVAL)
			assert_true(gpa & 7 || size > PAGE_SIZE);
		/* 0: there is no such thing, so nothing was written. */
		if (ret > 0 || answers[i].number == WEIR_HC_MEMORY_INFO)
			assert_true(ret < 0 || (could_write && !(gpa & 7) && size <= PAGE_SIZE));
	}
}

static bool can_write(const struct vcpu *v)
{
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		if (v->reg[RAX] == answers[i].number)
			return writable(vcpu_domain(v), v->reg[answers[i].address],
					MIN(v->reg[answers[i].size], answers[i].known));
	return true;
}

/* The memory that the guest had before a memory hypercall. */
static bool held[FRAMES];

static bool is_memory_call(const struct vcpu *v)
{
	return v->reg[RAX] == WEIR_HC_MEM_RELEASE || v->reg[RAX] == WEIR_HC_MEM_POPULATE;
}

static void check_memory_call(const struct vcpu *before, s64 ret)
{
	struct domain *d = vcpu_domain(before);
	bool release = before->reg[RAX] == WEIR_HC_MEM_RELEASE;
	u64 first = before->reg[RDI], nr = ret > 0 ? (u64)ret : 0;

	if (!is_memory_call(before))
		return;
	if (ret > 0) {
		assert_true(nr <= before->reg[RSI] && first < FRAMES && nr <= FRAMES - first);
		assert_false(release && d->privileged);
	} else {
		assert_true(ret == -EINVAL || ret == -ENOMEM || ret == -EAGAIN ||
			    (ret == -EPERM && d->privileged && release));
	}
	for (gfn_t gfn = 0; gfn < FRAMES; gfn++) {
		struct nested_leaf at = lookup(d, gfn);
		bool asked = gfn - first < nr;

		assert_int_equal(at.flags != 0, asked ? !release : held[gfn]);
		if (asked && !release && !held[gfn])
			assert_true(is_zero(at.mfn));
	}
}

static void ask(struct input *in, unsigned int who)
{
	static const u64 numbers[] = {
		WEIR_HC_MEM_RELEASE,	WEIR_HC_MEM_POPULATE,  WEIR_HC_STATS,
		WEIR_HC_EVENT_VECTOR,	WEIR_HC_EVENTS,	       WEIR_HC_DOMAIN_INFO,
		WEIR_HC_DEVICE_INFO,	WEIR_HC_DOMAIN_STATS,  WEIR_HC_DEVICE_ATTACH,
		WEIR_HC_DEVICE_DETACH,	WEIR_HC_IOMMU_WALK,    WEIR_HC_UNIT_STATS,
		WEIR_HC_IOMMU_TRACE,	WEIR_HC_MEMORY_INFO,   WEIR_HC_MEMORY_CARVE,
		WEIR_HC_MEMORY_LEND,	WEIR_HC_VERSION,       WEIR_HC_SHUTDOWN,
		WEIR_HC_DOMAIN_DESTROY, WEIR_HC_DEVICE_FRAME,  WEIR_HC_CONSOLE_SELECT,
		WEIR_HC_CONSOLE_READ,	WEIR_HC_CONSOLE_WRITE, WEIR_HC_BALLOON,
		WEIR_HC_LOG_READ,	WEIR_HC_RESCAN,	       WEIR_HC_IOMMU_TRACE_PAGES,
		WEIR_HC_SCREEN,
	};
	struct vcpu *v = &vcpu[who];
	u64 which = take(in, 1), other_pages = dom[!who].vm.memory.pages_owned;
	enum domain_state other_state = dom[!who].state;
	struct vcpu before;
	bool could_write;
	s64 ret;

	for (unsigned int r = 0; r < 16; r++)
		v->reg[r] = 0x1111111111111111UL * r;
	v->reg[RAX] = which < 0xf0 ? numbers[which % ARRAY_SIZE(numbers)] : take(in, 8);
	v->reg[RDI] = value(in);
	v->reg[RSI] = value(in);
	v->reg[RDX] = value(in);
	before = *v;
	could_write = can_write(v);
	for (gfn_t gfn = 0; is_memory_call(v) && gfn < FRAMES; gfn++)
		held[gfn] = holds(vcpu_domain(v), gfn);
	parked = prepared = privileged_done = false;

	assert_int_equal(!exit_hypercall(v, cpl), parked);
	ret = parked ? -EAGAIN : (s64)v->reg[RAX];
	before.reg[RAX] = v->reg[RAX];
	assert_memory_equal(v->reg, before.reg, sizeof(v->reg));
	before.reg[RAX] = which < 0xf0 ? numbers[which % ARRAY_SIZE(numbers)] : before.reg[RAX];

	if (cpl)
		assert_true(ret == -EPERM && !privileged_done);
	assert_true(ret >= -1000 || ret == (s64)0x8000000000000000);
	assert_int_equal(dom[!who].vm.memory.pages_owned, other_pages);
	if (!vcpu_domain(v)->privileged) {
		assert_true(which >= 0xf0 || before.reg[RAX] < WEIR_HC_DOMAIN_INFO ||
			    ret == -EPERM);
		assert_int_equal(dom[!who].state, other_state);
		/* Populating may request memory from the pool. */
		assert_true(!privileged_done || before.reg[RAX] == WEIR_HC_MEM_POPULATE);
	}
	if (which < 0xf0 && !cpl) {
		check_answer(&before, could_write, ret);
		check_memory_call(&before, ret);
	}
}

static void operation(struct input *in)
{
	unsigned int what = (unsigned int)take(in, 1), who = what >> 7;
	mfn_t mfn;
	u64 word;

	cpl = (what & 0x70) == 0x70 ? 3 : 0;
	switch (what % 16) {
	case 8:
		if (vtd_access(VTD_DEVICE_0, take(in, 2) % (FRAMES + 4), what & 0x40, &mfn))
			assert_true(frame_dev_refs(mfn) >= 1);
		break;
	case 9:
		vtd_execute(what >> 6 & 1, 1 + (unsigned int)take(in, 1) % 8);
		break;
	case 10:
		vtd_interrupts();
		break;
	case 11:
		vtd_work();
		break;
	case 12:
		cpu_answers((unsigned int)take(in, 1));
		break;
	case 13: /* the guest writes data that the next owner must not see */
		word = ~take(in, 4);
		(void)!guest_write(&dom[who].vm.memory,
				   (take(in, 2) % FRAMES << PAGE_SHIFT) + 8 * who, &word,
				   sizeof(word));
		break;
	case 14:
		settle();
		check_memory(&dom[who]);
		break;
	case 15: /* the guest writes to its console, or reads from it */
		word = take(in, 1);
		for (bool tell = false; word; word--)
			(void)guestconsole_put(dom[who].id, (u8)word, &tell);
		uart_room = what & 0x40 ? 64 : 0;
		break;
	default:
		if (dom[who].state == DOMAIN_RUNNING)
			ask(in, who);
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const struct vtd_config plain;
	static bool started;
	static u64 free_frames; /* when there are no domains */
	struct input in = { data, data + size };

	if (!started) {
		assert_true(vtd_start(&plain));
		nested_format = &test_format;
		/* The first domains fill the slabs. */
		start_domains();
		end_domains();
		free_frames = alloc_free_frames();
		started = true;
	}
	start_domains();
	for (unsigned int n = 0; n < MAX_OPERATIONS && !at_end(&in); n++)
		operation(&in);
	settle();
	for (u32 i = 0; i < DOMAINS; i++)
		check_memory(&dom[i]);
	end_domains();
	assert_int_equal(alloc_free_frames(), free_frames);
	return 0;
}
