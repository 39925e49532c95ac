/* The privileged hypercalls: requests are checked here and performed elsewhere. Nothing waits:
 * attaching, detaching and the end of a domain are only started, and the lists show their
 * progress. */
#include <kernel/guest/exit/control.h>

#include <drivers/pci.h>
#include <drivers/pcipresence.h>
#include <drivers/pcireset.h>
#include <iommu/iommu.h>
#include <kernel/abi/control.h>
#include <kernel/abi/hypercall.h>
#include <kernel/abi/iommu.h>
#include <kernel/core/log.h>
#include <kernel/guest/devices/guestconsole.h>
#include <kernel/guest/devices/guestscreen.h>
#include <kernel/guest/devices/hostconsole.h>
#include <kernel/guest/devices/pci/assign.h>
#include <kernel/guest/devices/pci/assignable.h>
#include <kernel/guest/devices/pci/rescan.h>
#include <kernel/guest/devices/virtio/vballoon.h>
#include <kernel/guest/devices/vuart.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/domain/event.h>
#include <kernel/guest/exit/hypercall.h>
#include <kernel/guest/exit/stats.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/pool.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frame.h>

void control_init(struct domain *d, enum identity_policy policy)
{
	domain_make_control(d);
	d->vm.memory.machine_addresses = policy != IDENTITY_NONE;
	hostconsole_start();
}

/* --- hypercalls ----------------------------------------------------------- */

static s64 domain_info_call(struct domain *caller, u64 id, gpaddr_t gpa, u64 size)
{
	struct domain *d = id <= MAX_DOMAINS ? domain_get_from((u16)id) : NULL;
	struct weir_domain_info info;

	if (!d)
		return 0;
	domain_describe(d, &info);
	info.has_balloon = vballoon_pages(d, &info.balloon_asked, &info.balloon_given);
	domain_put(d);
	return hypercall_answer(caller, gpa, size, &info, sizeof(info), info.id);
}

static u8 device_state(const struct pci_device *dev)
{
	switch (read_once(&dev->state)) {
	case PCI_ATTACHING:
		return WEIR_DEVICE_ATTACHING;
	case PCI_ATTACHED:
		if (pci_presence_why_not(pci_seen(dev)))
			return WEIR_DEVICE_GONE;
		return iommu_device_state(dev->id) == IOMMU_DEVICE_QUARANTINED ?
			       WEIR_DEVICE_QUARANTINED :
			       WEIR_DEVICE_ATTACHED;
	case PCI_DETACHING:
		return WEIR_DEVICE_DETACHING;
	case PCI_FREE:
		break;
	}
	return pci_presence_why_not(pci_seen(dev)) ? WEIR_DEVICE_GONE : WEIR_DEVICE_FREE;
}

/* Not in the middle of a reset, when it may be silent. */
static void look_if_settled(struct pci_device *dev)
{
	enum pci_state state = read_once(&dev->state);

	if (state == PCI_FREE || state == PCI_ATTACHED)
		(void)pci_look(dev);
}

static s64 device_info_call(struct domain *caller, u64 index, gpaddr_t gpa, u64 size)
{
	struct pci_device *dev = index < PCI_MAX_DEVICES ? pci_device_at((u32)index) : NULL;
	struct weir_device_info info = { 0 };
	const char *why, *no_ats, *reset;

	if (!dev)
		return 0;
	look_if_settled(dev);
	why = assignable_why_never(dev, caller->vm.memory.machine_addresses);
	no_ats = iommu_why_no_ats(dev->id);
	reset = pci_reset_method(dev);
	info.device = (u32)dev->id.segment << 16 | dev->id.bdf;
	info.vendor = dev->vendor;
	info.id = dev->device;
	info.class = dev->class;
	info.owner = dev->owner;
	info.state = device_state(dev);
	copy_string(info.reset, reset ? reset : "", sizeof(info.reset));
	copy_string(info.why_not, why ? why : "", sizeof(info.why_not));
	copy_string(info.why_no_ats, no_ats ? no_ats : "", sizeof(info.why_no_ats));
	return hypercall_answer(caller, gpa, size, &info, sizeof(info), 1);
}

static s64 domain_stats_call(struct domain *caller, u64 id, gpaddr_t gpa, u64 size)
{
	struct domain *d = id <= MAX_DOMAINS ? domain_get((u16)id) : NULL;
	struct weir_stats s;

	if (!d)
		return -ENOENT;
	domain_stats(d, &s);
	domain_put(d);
	return hypercall_answer(caller, gpa, size, &s, sizeof(s), sizeof(s));
}

static struct pci_device *find_device(u64 device)
{
	return device >> 32 ? NULL : pci_find((struct pci_id){ (u16)(device >> 16), (u16)device });
}

/* Hold a running domain. -ENOENT: there is none with this id; -EBUSY: it is not running. */
static int find_running(u64 id, struct domain **d)
{
	*d = id <= MAX_DOMAINS ? domain_get((u16)id) : NULL;
	if (!*d)
		return -ENOENT;
	if (read_once(&(*d)->state) == DOMAIN_RUNNING)
		return 0;
	domain_put(*d);
	return -EBUSY;
}

static s64 attach_call(struct domain *caller __unused, u64 device, u64 id, u64 flags)
{
	struct pci_device *dev = find_device(device);
	struct domain *d;
	char buf[160];
	int ret;

	if (!dev)
		return -ENODEV;
	if (flags & ~(u64)WEIR_ATTACH_ATS)
		return -EINVAL;
	ret = find_running(id, &d);
	if (ret)
		return ret;
	look_if_settled(dev);
	if (read_once(&dev->state) != PCI_FREE)
		ret = -EBUSY;
	else if (assignable_why_not(d, dev, flags & WEIR_ATTACH_ATS ? IOMMU_ATS : 0, buf,
				    sizeof(buf)))
		ret = -EPERM;
	else
		ret = assign_start(d, dev, flags & WEIR_ATTACH_ATS ? IOMMU_ATS : 0);
	domain_put(d);
	return ret;
}

static s64 detach_call(struct domain *caller __unused, u64 device, u64 b __unused, u64 c __unused)
{
	struct pci_device *dev = find_device(device);

	return dev ? assign_take(dev) : -ENODEV;
}

static s64 destroy_call(struct domain *caller, u64 id, u64 b __unused, u64 c __unused)
{
	struct domain *d;
	int ret;

	if (id == caller->id)
		return -EINVAL;
	ret = find_running(id, &d);
	if (ret)
		return ret;
	domain_shutdown(d, "destroyed by the control domain", 0);
	domain_put(d);
	return 0;
}

static void walk(const struct pci_device *dev, u64 address, struct weir_walk *w)
{
	struct frame_info f;
	mfn_t mfn;
	u32 perm;

	memset(w, 0, sizeof(*w));
	w->owner = dev->owner;
	w->result = WEIR_WALK_NOBODYS;
	if (iommu_device_state(dev->id) != IOMMU_DEVICE_ATTACHED)
		return;
	w->nr_entries = iommu_walk_owner(w->owner, address >> PAGE_SHIFT, w->entry, &mfn);
	w->top_level = iommu_levels();
	w->result = WEIR_WALK_EMPTY;
	if (mfn == INVALID_MFN)
		return;
	w->result = iommu_entry_kind(w->entry[w->nr_entries - 1], &perm) == IOMMU_ENTRY_WAITS ?
			    WEIR_WALK_WAITS :
			    WEIR_WALK_MAPPED;
	w->readable = perm & IOMMU_READ;
	w->writable = !!(perm & IOMMU_WRITE);
	w->page = (mfn << PAGE_SHIFT) + (address & ~PAGE_MASK);
	if (!frame_query(mfn, &f))
		return;
	w->page_owner = f.owner;
	w->references = f.own_refs;
	w->block_references = f.block_refs;
	copy_string(w->page_type, frame_type_name(f.type), sizeof(w->page_type));
}

static s64 walk_call(struct domain *caller, u64 device, u64 address, gpaddr_t gpa)
{
	const struct pci_device *dev = find_device(device);
	struct weir_walk w;

	if (!dev)
		return -ENODEV;
	walk(dev, address, &w);
	return hypercall_answer(caller, gpa, sizeof(w), &w, sizeof(w), 0);
}

static s64 unit_stats_call(struct domain *caller, u64 unit, gpaddr_t gpa, u64 size)
{
	struct weir_unit_stats s;

	if (unit > ~0u || !iommu_unit_stats((u32)unit, &s))
		return 0;
	return hypercall_answer(caller, gpa, size, &s, sizeof(s), 1);
}

#define EVENTS_A_CALL 64u

static s64 trace_call(struct domain *caller, u64 from, gpaddr_t gpa, u64 size)
{
	struct weir_trace_event e[16];
	u64 max = MIN(size / sizeof(e[0]), (u64)EVENTS_A_CALL), done = 0;

	while (done < max) {
		u32 n = iommu_trace_read(&from, e, (u32)MIN(max - done, (u64)ARRAY_SIZE(e)));

		if (!n)
			break;
		if (hypercall_answer(caller, gpa + done * sizeof(e[0]), n * sizeof(e[0]), e,
				     n * sizeof(e[0]), 0))
			return -EFAULT;
		done += n;
	}
	return (s64)done;
}

static s64 trace_pages_call(struct domain *caller __unused, u64 on, u64 b __unused, u64 c __unused)
{
	return on > 1 ? -EINVAL : iommu_trace_pages(on);
}

static s64 memory_info_call(struct domain *caller, gpaddr_t gpa, u64 size, u64 c __unused)
{
	struct weir_memory_info info = { .free = alloc_free_frames(), .reserve = POOL_RESERVE };

	info.lent = pool_frames(&info.carved);
	return hypercall_answer(caller, gpa, size, &info, sizeof(info), 0);
}

static s64 carve_call(struct domain *caller __unused, u64 nr, u64 b __unused, u64 c __unused)
{
	return pool_reclaim(MIN(nr, 1UL << 40));
}

static s64 lend_call(struct domain *caller __unused, u64 a __unused, u64 b __unused, u64 c __unused)
{
	pool_return();
	return 0;
}

static s64 console_select_call(struct domain *caller, u64 id, u64 b __unused, u64 c __unused)
{
	return guestconsole_select(caller, id);
}

static s64 console_read_call(struct domain *caller, gpaddr_t gpa, u64 size, u64 c __unused)
{
	return guestconsole_read(caller, gpa, size);
}

static s64 console_write_call(struct domain *caller, gpaddr_t gpa, u64 size, u64 c __unused)
{
	return guestconsole_write(caller, gpa, size);
}

static s64 balloon_call(struct domain *caller __unused, u64 id, u64 pages, u64 c __unused)
{
	struct domain *d;
	s64 ret = find_running(id, &d);

	if (ret)
		return ret;
	ret = vballoon_ask(d, pages);
	domain_put(d);
	return ret;
}

static s64 screen_call(struct domain *caller, u64 id, gpaddr_t gpa, u64 size)
{
	s64 ret = hypercall_answer(caller, gpa, size, NULL, 0, 0); /* checks the arguments */
	struct domain *d;

	if (!ret)
		ret = find_running(id, &d);
	if (ret)
		return ret;
	ret = guestscreen_read(d, caller, gpa, size);
	domain_put(d);
	return ret;
}

#define LOG_BYTES_A_CALL 4096u

static s64 log_read_call(struct domain *caller, gpaddr_t at, gpaddr_t gpa, u64 size)
{
	u64 max = MIN(size, (u64)LOG_BYTES_A_CALL), done = 0;
	struct weir_log_position position;
	char piece[256];
	size_t n;

	if (at & 7)
		return -EINVAL;
	if (guest_read(&caller->vm.memory, at, &position, sizeof(position)))
		return -EFAULT;
	do { /* at least once, because the end position is wanted too */
		n = log_copy(&position.next, &position.end, piece, MIN(max - done, sizeof(piece)));
		if (guest_write(&caller->vm.memory, gpa + done, piece, n))
			return -EFAULT;
		done += n;
	} while (n && done < max);
	return hypercall_answer(caller, at, sizeof(position), &position, sizeof(position),
				(s64)done);
}

static s64 rescan_call(struct domain *caller __unused, u64 position, u64 b __unused, u64 c __unused)
{
	u32 at = (u32)position;
	int ret = position > 0x7fffffff ? -EINVAL : rescan_step(&at);

	return ret > 0 ? (s64)at : ret;
}

#define FIRST_CALL WEIR_HC_DOMAIN_INFO

static s64 (*const calls[])(struct domain *caller, u64 a, u64 b, u64 c) = {
	[WEIR_HC_DOMAIN_INFO - FIRST_CALL] = domain_info_call,
	[WEIR_HC_DEVICE_INFO - FIRST_CALL] = device_info_call,
	[WEIR_HC_DOMAIN_STATS - FIRST_CALL] = domain_stats_call,
	[WEIR_HC_DEVICE_ATTACH - FIRST_CALL] = attach_call,
	[WEIR_HC_DEVICE_DETACH - FIRST_CALL] = detach_call,
	[WEIR_HC_DOMAIN_DESTROY - FIRST_CALL] = destroy_call,
	[WEIR_HC_IOMMU_WALK - FIRST_CALL] = walk_call,
	[WEIR_HC_UNIT_STATS - FIRST_CALL] = unit_stats_call,
	[WEIR_HC_IOMMU_TRACE - FIRST_CALL] = trace_call,
	[WEIR_HC_MEMORY_INFO - FIRST_CALL] = memory_info_call,
	[WEIR_HC_MEMORY_CARVE - FIRST_CALL] = carve_call,
	[WEIR_HC_MEMORY_LEND - FIRST_CALL] = lend_call,
	[WEIR_HC_CONSOLE_SELECT - FIRST_CALL] = console_select_call,
	[WEIR_HC_CONSOLE_READ - FIRST_CALL] = console_read_call,
	[WEIR_HC_CONSOLE_WRITE - FIRST_CALL] = console_write_call,
	[WEIR_HC_BALLOON - FIRST_CALL] = balloon_call,
	[WEIR_HC_LOG_READ - FIRST_CALL] = log_read_call,
	[WEIR_HC_RESCAN - FIRST_CALL] = rescan_call,
	[WEIR_HC_IOMMU_TRACE_PAGES - FIRST_CALL] = trace_pages_call,
	[WEIR_HC_SCREEN - FIRST_CALL] = screen_call,
};

s64 control_call(struct domain *caller, u64 number, u64 a, u64 b, u64 c)
{
	if (number - FIRST_CALL >= ARRAY_SIZE(calls))
		return -ENOSYS;
	if (!caller->privileged)
		return -EPERM;
	return calls[number - FIRST_CALL](caller, a, b, c);
}
