/* Gives memory of the spare region back to Weir and takes it again, step by step. */
#include "release.h"

#include <string.h>
#include "../runtime/runtime.h"
#include "stats.h"

#define PAGES_PER_STEP 64
#define PATTERN 0x5a /* anything but zero */

static enum { IDLE, MEND, DIRTY, RELEASE, HOLD, POPULATE, VERIFY } phase;
static struct release_job *queue; /* the first one is running, unless phase is IDLE */
static struct release_job *running; /* the queue's first, or &orphan */
static struct release_job orphan; /* replaces a running job that was cancelled */
static u64 at; /* pages done in this phase */
static u64 begun, hold_until, jobs_done;
static u64 hole_first, hole_pages; /* pages that an earlier job could not get back */

u64 release_max_pages(void)
{
	return spare_region().size / PAGE_SIZE;
}

u64 release_jobs_done(void)
{
	return jobs_done;
}

void release_submit(struct release_job *job)
{
	struct release_job **end = &queue;

	job->next = NULL;
	memset(&job->result, 0, sizeof(job->result));
	while (*end)
		end = &(*end)->next;
	*end = job;
}

void release_cancel(struct release_job *job)
{
	for (struct release_job **p = &queue; *p; p = &(*p)->next) {
		if (*p != job)
			continue;
		if (job == running) {
			orphan = *job;
			orphan.done = NULL;
			running = &orphan;
			*p = &orphan;
		} else {
			*p = job->next;
		}
		return;
	}
}

void release_take(void)
{
	hold_until = 0;
}

static u64 first_gfn(void)
{
	return spare_region().base / PAGE_SIZE;
}

static u64 *page(u64 n)
{
	return (u64 *)(spare_region().base + n * PAGE_SIZE);
}

static void enter(int next)
{
	phase = (__typeof__(phase))next;
	at = 0;
}

/* Pages are held for less than a millisecond, so polling from here would miss them. Weir's own
 * maximum does not. */
static void take_held_max(struct release_result *r)
{
	const struct weir_stats *s = stats_weir();

	if (s)
		r->pages_held_max = s->pages_held_max;
}

static void finish(void)
{
	struct release_job *job = running;

	job->result.total_ns = clock_ns() - begun;
	if (job->result.populated_pages < job->result.released_pages) {
		hole_first = job->result.populated_pages;
		hole_pages = job->result.released_pages - hole_first;
	}
	take_held_max(&job->result);
	queue = job->next;
	running = NULL;
	jobs_done++;
	enter(IDLE);
	if (job->done)
		job->done(job);
}

/* One call of MEM_RELEASE or MEM_POPULATE, each of which does a bounded part. After an error the
 * job continues: what was released must come back, or the spare region would have holes. */
static void call(u64 number, u64 *done, u64 total, u64 *ns, u64 *calls, int next)
{
	u64 start = clock_ns();
	s64 ret = hypercall(number, first_gfn() + *done, total - *done, 0);

	*ns += clock_ns() - start;
	(*calls)++;
	if (ret < 0) {
		running->result.error = ret;
		print("release: hypercall %lu of %lu pages at frame %lx failed: %ld\n", number,
		      total - *done, first_gfn() + *done, ret);
		enter(next);
		return;
	}
	*done += MIN((u64)ret, total - *done);
	if (*done == total)
		enter(next);
}

/* Take back what an earlier job could not. */
static void mend(void)
{
	s64 ret = hypercall(WEIR_HC_MEM_POPULATE, first_gfn() + hole_first, hole_pages, 0);

	if (ret < 0) {
		running->result.error = ret;
		finish();
		return;
	}
	hole_first += MIN((u64)ret, hole_pages);
	hole_pages -= MIN((u64)ret, hole_pages);
	if (!hole_pages)
		enter(DIRTY);
}

static void verify(struct release_result *r)
{
	for (u64 end = MIN(at + PAGES_PER_STEP, r->populated_pages); at < end; at++) {
		const u64 *word = page(at);
		u64 any = 0;

		for (u32 i = 0; i < PAGE_SIZE / sizeof(*word); i++)
			any |= word[i];
		r->nonzero_pages += any != 0;
	}
	if (at == r->populated_pages)
		finish();
}

bool release_step(u64 *wake_ns)
{
	struct release_result *r;

	if (phase == IDLE) {
		if (!queue)
			return false;
		running = queue;
		begun = clock_ns();
		enter(hole_pages ? MEND : DIRTY);
	}
	r = &running->result;
	switch (phase) {
	case IDLE:
		break;
	case MEND:
		mend();
		break;
	case DIRTY:
		for (u64 end = MIN(at + PAGES_PER_STEP, running->pages); at < end; at++)
			memset(page(at), PATTERN, PAGE_SIZE);
		if (at == running->pages)
			enter(RELEASE);
		break;
	case RELEASE:
		call(WEIR_HC_MEM_RELEASE, &r->released_pages, running->pages, &r->release_ns,
		     &r->release_calls, HOLD);
		hold_until = clock_ns() + running->hold_ms * 1000000;
		break;
	case HOLD:
		if (clock_ns() < hold_until) {
			*wake_ns = MIN(*wake_ns, hold_until);
			return false;
		}
		enter(r->released_pages ? POPULATE : VERIFY);
		break;
	case POPULATE:
		call(WEIR_HC_MEM_POPULATE, &r->populated_pages, r->released_pages, &r->populate_ns,
		     &r->populate_calls, VERIFY);
		break;
	case VERIFY:
		verify(r);
		break;
	}
	return true;
}
