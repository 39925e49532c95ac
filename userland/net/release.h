/* Jobs that give pages of the spare region back to Weir and take them again, in bounded steps of
 * the main loop, so that traffic goes on. One runs at a time, the others wait in the order of their
 * coming. */
#pragma once

#include <kernel/lib/compiler.h>

struct release_result {
	u64 released_pages, populated_pages;
	u64 nonzero_pages; /* pages that were not all zero after they came back */
	u64 pages_held_max; /* of this domain since its start, at the job's end */
	u64 release_ns, populate_ns,
		total_ns; /* in hypercalls, in hypercalls, from the job's start to its end */
	u64 release_calls, populate_calls;
	s64 error; /* of the hypercall that failed, else 0 */
};

struct release_job {
	struct release_job *next;
	u64 pages, hold_ms;
	void (*done)(struct release_job *job); /* result is filled; the job may be used again */
	void *owner;
	struct release_result result;
};

u64 release_max_pages(void);
/* pages must be 1 to release_max_pages(). */
void release_submit(struct release_job *job);
/* Forget a job: its `done` is not called any more. A job that has begun goes on without its
 * owner. */
void release_cancel(struct release_job *job);
/* The job that holds its pages released takes them again at once. */
void release_take(void);
/* Do one bounded step. True if there is more to do at once; *wake_ns is lowered to when it must be
 * called again. */
bool release_step(u64 *wake_ns);
u64 release_jobs_done(void);
