/* Jobs that give pages of the spare region back to Weir and take them again, in bounded steps of
 * the main loop, so that traffic continues. They run one at a time, in the order of submission. */
#pragma once

#include <kernel/lib/compiler.h>

struct release_result {
	u64 released_pages, populated_pages;
	u64 nonzero_pages; /* pages that were not zero when they came back */
	u64 pages_held_max; /* of the domain, from its start to the end of the job */
	u64 release_ns, populate_ns; /* in these hypercalls */
	u64 total_ns; /* from the job's start to its end */
	u64 release_calls, populate_calls;
	s64 error; /* of a hypercall that failed, or 0 */
};

struct release_job {
	struct release_job *next;
	u64 pages, hold_ms;
	void (*done)(struct release_job *job); /* `result` is valid; the job may be reused */
	void *owner;
	struct release_result result;
};

u64 release_max_pages(void);
/* job->pages must be 1 to release_max_pages(). */
void release_submit(struct release_job *job);
/* Forget a job: its `done` will not be called. A job that has begun continues without its owner. */
void release_cancel(struct release_job *job);
/* End the wait of a job between release and populate. */
void release_take(void);
/* Do one bounded step. True: call it again at once. Lowers *wake_ns to the time of the next step if
 * that is earlier. */
bool release_step(u64 *wake_ns);
u64 release_jobs_done(void);
