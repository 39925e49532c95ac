/* The IOMMU core with real threads, for ThreadSanitizer and for rare interleavings: two CPUs that
 * map and unmap in the same and in different domains, the units, the interrupts, the deferred work,
 * and an administrator thread that detaches and attaches devices.
 *
 *	threads [--seed N] [--steps N]        steps of each CPU
 *
 * Each CPU has its own frames and records which of them devices may reach: a frame is given back by
 * the release of its batch, and from then on no cache of any unit may lead to it.
 */
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <iommu/domain.h>
#include <kernel/core/log.h>
#include <kernel/core/panic.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frame.h>
#include <tests/model/random.h>
#include <tests/model/unit.h>

#define CPUS 2
#define DOMAINS 2
#define FRAMES 824u /* of each CPU in each domain; no multiple of a table, so that CPUs share one */
#define OWNER(d) ((u16)(20 + (d)))
#define HELD 0x100 /* or'ed to the CPU: not given back yet */

static struct {
	struct iommu_domain *d;
	u16 did;
	u16 holder[CPUS * FRAMES];
} domains[DOMAINS];

static u64 seed, steps = 2000;
static u32 cpus_running, stop_all;
static u64 nr_maps, nr_unmaps, nr_releases, nr_accesses, nr_attaches;

/* --- stand-ins for what the core calls ------------------------------------ */

static void __noreturn failed(const char *what, const char *fmt, va_list ap)
{
	fprintf(stderr, "%s: seed %lu: ", what, seed);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	fflush(stderr);
	_exit(1);
}

void vtd_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	failed("FAILED", fmt, ap);
}

void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	failed("PANIC", fmt, ap);
}

void log_print(enum log_level level, const char *fmt, ...)
{
	(void)level, (void)fmt;
}

bool log_allowed(struct log_limit *limit)
{
	(void)limit;
	return true;
}

/* --- frames --------------------------------------------------------------- */

static mfn_t frame_of(unsigned int domain, u32 i)
{
	return VTD_RAM_FIRST + ((u64)domain << 18) + i;
}

/* Each CPU has its own device frames, mapped one to one. Those of the first CPU have the same
 * offset in a superpage as their frames, so that superpages are possible; those of the second CPU
 * do not. */
static dfn_t dfn_of(u32 i)
{
	return 0x800 + i + (i < FRAMES ? 0 : 1);
}

/* True if e leads to one of the nr frames that start at `from`. */
static bool leads_into(const struct cached *e, mfn_t from, u32 nr)
{
	return e->mfn < from + nr && from < e->mfn + (1UL << e->order);
}

static void check_caches(unsigned int domain, u32 first, u32 nr)
{
	mfn_t from = frame_of(domain, first);

	for (unsigned int n = 0; n < VTD_UNITS; n++) {
		struct vtd_unit *u = &vtd_units[n];
		const struct cached *e;

		pthread_mutex_lock(&u->lock);
		for (unsigned int i = 0; i < DOMAINS; i++)
			cache_for_each(e, &u->iotlb, domains[i].did)
				vtd_require(!e->perm || !leads_into(e, from, nr),
					    "device frame 0x%lx of id %u leads to frame 0x%lx, "
					    "which is given back",
					    e->dfn, e->did, e->mfn);
		for (unsigned int i = 0; i < VTD_DEVICES; i++) {
			const struct context_copy *c;

			if (vtd_unit_of_device(i) != n)
				continue;
			c = vtd_context(u, i);
			if (!c || !c->ats)
				continue;
			cache_for_each(e, &vtd_device_states[i].tlb, 0)
				vtd_require(!leads_into(e, from, nr),
					    "the TLB of device %u leads to frame 0x%lx, "
					    "which is given back",
					    i, e->mfn);
		}
		pthread_mutex_unlock(&u->lock);
	}
}

/* The last step of a batch: its frames have no owner for a moment, and are then free for their
 * CPU. */
static enum step give_back(struct iommu_batch *b)
{
	struct iommu_batch_user *user = iommu_batch_user(b);
	unsigned int domain = (unsigned int)user->word[0];
	u32 first = (u32)user->word[1], nr = (u32)user->word[2];

	check_caches(domain, first, nr);
	for (u32 i = first; i < first + nr; i++) {
		u16 *holder = &domains[domain].holder[i];

		vtd_require(load_acquire(holder) & HELD,
			    "frame %u of domain %u is given back twice", i, domain);
		vtd_require(!frame_set(frame_of(domain, i), 0, FRAME_WEIR, OWNER_WEIR) &&
				    !frame_set(frame_of(domain, i), 0, FRAME_RAM, OWNER(domain)),
			    "frame %u of domain %u is given back, and referenced %lu times", i,
			    domain, frame_dev_refs(frame_of(domain, i)));
		store_release(holder, (u16)0);
	}
	(void)atomic_add(&nr_releases, 1);
	return STEP_DONE;
}

/* --- the CPUs ------------------------------------------------------------- */

static bool all(unsigned int domain, u32 first, u32 nr, u16 state)
{
	for (u32 i = first; i < first + nr; i++)
		if (load_acquire(&domains[domain].holder[i]) != state)
			return false;
	return true;
}

static void mark(unsigned int domain, u32 first, u32 nr, u16 state)
{
	for (u32 i = first; i < first + nr; i++)
		store_release(&domains[domain].holder[i], state);
}

/* The batch gives these frames back when it is released. */
static void give_back_later(struct iommu_gather *g, unsigned int domain, u32 first, u32 nr)
{
	struct iommu_batch_user *user = iommu_gather_user(g);

	user->step = give_back;
	user->word[0] = domain;
	user->word[1] = first;
	user->word[2] = nr;
}

static bool map_some(unsigned int cpu, unsigned int domain, u32 first, u32 nr)
{
	struct iommu_gather g = { 0 };
	int ret;

	if (!all(domain, first, nr, 0) || iommu_gather_begin(&g, domains[domain].d))
		return false;
	ret = iommu_map(&g, dfn_of(first), frame_of(domain, first), nr, IOMMU_READ | IOMMU_WRITE);
	vtd_require(!ret || ret == -EAGAIN || ret == -ENOMEM, "mapping %u frames at %u: error %d",
		    nr, first, -ret);
	/* If it fails, what it had mapped is being unmapped. */
	mark(domain, first, nr, (u16)(cpu + 1) | (ret ? HELD : 0));
	if (ret)
		give_back_later(&g, domain, first, nr);
	else
		(void)atomic_add(&nr_maps, 1);
	iommu_gather_commit(&g, 0);
	return true;
}

static bool unmap_some(unsigned int cpu, unsigned int domain, u32 first, u32 nr)
{
	struct iommu_gather g = { 0 };

	if (!all(domain, first, nr, (u16)(cpu + 1)) || iommu_gather_begin(&g, domains[domain].d))
		return false;
	mark(domain, first, nr, (u16)(cpu + 1) | HELD);
	iommu_unmap(&g, dfn_of(first), nr);
	give_back_later(&g, domain, first, nr);
	(void)atomic_add(&nr_unmaps, 1);
	iommu_gather_commit(&g, nr);
	return true;
}

static void *cpu_thread(void *arg)
{
	unsigned int cpu = (unsigned int)(unsigned long)arg;

	random_seed(seed * 16 + cpu);
	for (u64 n = 0; n < steps;) {
		unsigned int domain = (unsigned int)below(DOMAINS);
		u32 nr = one_in(4) ? 512 : 1 + (u32)below(40), first = (u32)below(FRAMES - nr + 1);

		if (nr == 512 && one_in(2))
			first = 0;
		first += cpu * FRAMES;
		bool done = one_in(2) ? map_some(cpu, domain, first, nr) :
					unmap_some(cpu, domain, first, nr);

		if (done)
			n++;
		else
			sched_yield();
	}
	(void)atomic_sub(&cpus_running, 1);
	return NULL;
}

/* --- the hardware, the interrupts, the deferred work ---------------------- */

static enum vtd_answer device_answers(u16 bdf)
{
	(void)bdf;
	return one_in(2) ? VTD_ANSWERS : VTD_ANSWERS_LATER;
}

static void *hardware_thread(void *arg)
{
	(void)arg;
	random_seed(seed * 16 + 8);
	while (!load_acquire(&stop_all)) {
		unsigned int unit = (unsigned int)below(VTD_UNITS);
		struct pci_id dev = vtd_devices[below(VTD_DEVICES)];
		dfn_t dfn = dfn_of((u32)below(CPUS * FRAMES));
		mfn_t mfn;

		switch (below(8)) {
		case 0:
			vtd_execute(unit, 1 + (unsigned int)below(8));
			break;
		case 1:
			vtd_answer_late(unit, false);
			break;
		case 2:
			sched_yield();
			break;
		default:
			if (one_in(2) ? vtd_access(dev, dfn, one_in(2), &mfn) :
					vtd_translated_access(dev, dfn, one_in(2), &mfn))
				(void)atomic_add(&nr_accesses, 1);
		}
	}
	return NULL;
}

static void *interrupt_thread(void *arg)
{
	(void)arg;
	random_seed(seed * 16 + 9);
	while (!load_acquire(&stop_all))
		if (!vtd_interrupts())
			sched_yield();
	return NULL;
}

static void *work_thread(void *arg)
{
	(void)arg;
	random_seed(seed * 16 + 10);
	while (!load_acquire(&stop_all))
		if (!vtd_work())
			sched_yield();
	return NULL;
}

/* --- the administrator ---------------------------------------------------- */

static void finished(void *arg)
{
	store_release((u32 *)arg, 1u);
}

static void attach(unsigned int device)
{
	int ret = iommu_attach(domains[below(DOMAINS)].d, vtd_devices[device],
			       one_in(2) ? IOMMU_ATS : 0);

	vtd_require(!ret || ret == -EAGAIN || ret == -ENOMEM, "attaching device %u: error %d",
		    device, -ret);
	if (!ret)
		(void)atomic_add(&nr_attaches, 1);
}

static void detach_and_wait(unsigned int device)
{
	u32 done = 0;

	if (iommu_device_state(vtd_devices[device]) == IOMMU_DEVICE_FREE)
		return;
	iommu_detach(vtd_devices[device], finished, &done);
	while (!load_acquire(&done))
		sched_yield();
	/* Reset by the administrator. */
	pthread_mutex_lock(&vtd_units[vtd_unit_of_device(device)].lock);
	cache_drop_all(&vtd_device_states[device].tlb);
	pthread_mutex_unlock(&vtd_units[vtd_unit_of_device(device)].lock);
}

static void come_and_go(void)
{
	struct iommu_domain *d;
	u32 done = 0;

	if (iommu_domain_create(&d, OWNER(DOMAINS), "visitor", (void (*)(void *))finished, &done))
		return;
	done = 0;
	iommu_domain_destroy(d, finished, &done);
	while (!load_acquire(&done))
		sched_yield();
}

static void *administrator_thread(void *arg)
{
	(void)arg;
	random_seed(seed * 16 + 11);
	while (load_acquire(&cpus_running)) {
		unsigned int device = (unsigned int)below(VTD_DEVICES);

		detach_and_wait(device);
		attach(device);
		if (one_in(8))
			come_and_go();
	}
	for (unsigned int i = 0; i < VTD_DEVICES; i++)
		detach_and_wait(i);
	store_release(&stop_all, 1u);
	return NULL;
}

/* --- main ----------------------------------------------------------------- */

static void wake(void *arg)
{
	(void)arg;
}

static void start(void)
{
	const struct vtd_config config = { .ecap_set = seed % 2 ? ECAP_C : 0 };

	vtd_whims = true;
	vtd_require(vtd_start(&config), "the units do not come up");
	vtd_device_answers = device_answers;
	for (unsigned int i = 0; i < DOMAINS; i++) {
		vtd_require(!frame_set(frame_of(i, 0), ORDER_1G, FRAME_RAM, OWNER(i)), "no memory");
		vtd_require(!iommu_domain_create(&domains[i].d, OWNER(i), "domain", wake, NULL),
			    "no domain");
		domains[i].did = domains[i].d->did;
	}
	for (unsigned int i = 0; i < VTD_DEVICES; i++)
		attach(i);
}

static void finish(void)
{
	vtd_settle();
	for (unsigned int i = 0; i < DOMAINS; i++) {
		u32 gone = 0;

		vtd_require(!domains[i].d->nr_batches && !domains[i].d->tombstones,
			    "domain %u: %u batches, %lu tombstones are left", i,
			    domains[i].d->nr_batches, domains[i].d->tombstones);
		iommu_domain_destroy(domains[i].d, finished, &gone);
		vtd_settle();
		vtd_require(gone, "domain %u never ends", i);
		for (u32 k = 0; k < CPUS * FRAMES; k++)
			vtd_require(!frame_dev_refs(frame_of(i, k)),
				    "frame %u of domain %u is referenced", k, i);
	}
	vtd_stop();
}

int main(int argc, char **argv)
{
	void *(*const others[])(void *) = { hardware_thread, interrupt_thread, work_thread,
					    administrator_thread };
	pthread_t thread[CPUS + ARRAY_SIZE(others)];

	seed = (u64)time(NULL);
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--seed"))
			seed = strtoull(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--steps"))
			steps = strtoull(argv[i + 1], NULL, 0);
	}
	printf("threads: seed %lu, %lu steps\n", seed, steps);
	fflush(stdout);
	start();
	cpus_running = CPUS;
	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++)
		pthread_create(&thread[CPUS + i], NULL, others[i], NULL);
	for (unsigned long i = 0; i < CPUS; i++)
		pthread_create(&thread[i], NULL, cpu_thread, (void *)i);
	for (unsigned int i = 0; i < ARRAY_SIZE(thread); i++)
		pthread_join(thread[i], NULL);
	finish();
	printf("%lu mapped, %lu unmapped, %lu released, %lu accesses, %lu times attached\n",
	       nr_maps, nr_unmaps, nr_releases, nr_accesses, nr_attaches);
	vtd_require(nr_maps && nr_releases && nr_accesses && nr_attaches, "nothing has happened");
	printf("[       OK ] threads\n[  PASSED  ] 1 test(s).\n");
	return 0;
}
