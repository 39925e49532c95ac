/* Deferred work with the guarantees of kernel/core/work.c, with one queue for everything. */
#include <pthread.h>

#include <kernel/core/work.h>
#include <kernel/mm/alloc.h>
#include <tests/model/unit.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list queue = LIST_INIT(queue);
static struct work *running; /* one thread runs the work */

void work_start(void)
{
	list_init(&queue);
	running = NULL;
}

void work_init(struct work *w, enum step (*step)(struct work *w))
{
	list_init(&w->link);
	w->step = step;
	w->state = WORK_IDLE;
}

void work_queue(struct work *w)
{
	pthread_mutex_lock(&lock);
	if (w->state == WORK_IDLE) {
		w->state = WORK_QUEUED;
		list_add_tail(&queue, &w->link);
	} else if (w->state == WORK_RUNNING) {
		w->state = WORK_AGAIN;
	}
	pthread_mutex_unlock(&lock);
}

void work_forget(struct work *w)
{
	vtd_require(running == w, "work is forgotten that does not run");
	running = NULL;
}

bool vtd_work(void)
{
	struct work *w;
	bool done;

	pthread_mutex_lock(&lock);
	w = list_empty(&queue) ? NULL : list_first(&queue, struct work, link);
	if (w) {
		list_del(&w->link);
		w->state = WORK_RUNNING;
	}
	pthread_mutex_unlock(&lock);
	if (!w)
		return false;
	running = w;
	alloc_step_begins();
	done = w->step(w) != STEP_MORE;
	alloc_step_ends();
	if (!running)
		return true;
	running = NULL;
	pthread_mutex_lock(&lock);
	if (done && w->state == WORK_RUNNING) {
		w->state = WORK_IDLE;
	} else {
		w->state = WORK_QUEUED;
		list_add_tail(&queue, &w->link);
	}
	pthread_mutex_unlock(&lock);
	return true;
}

bool work_run(void)
{
	return vtd_work();
}
