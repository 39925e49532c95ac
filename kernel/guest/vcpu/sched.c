/* The scheduler: one run queue per CPU, by priority, round robin with a quantum among equals.
 *
 *	            vcpu_halt()              vcpu_interrupt()
 *	RUNNABLE  ------------->  HALTED   ------------------>  RUNNABLE
 *	RUNNABLE  ------------->  PARKED   ------------------>  RUNNABLE
 *	            vcpu_park()              vcpu_wake()
 *	OFFLINE   <- INIT, SIPI -> RUNNABLE               any -> DEAD  vcpu_kill(),  DEAD -> OFFLINE  vcpu_power_on()
 *
 * A vCPU's state changes under its CPU's lock. A sleep can not miss its wake-up: vcpu_prepare_park() clears wake_pending
 * before the condition is looked at, vcpu_wake() sets it under the lock, vcpu_park() looks at it under the lock; and
 * vcpu_halt() looks for pending interrupts under the lock, which vcpu_interrupt() takes after having made one pending.
 */
#include <kernel/guest/vcpu/vcpu.h>

#include <kernel/core/clock.h>
#include <kernel/core/irq.h>
#include <kernel/guest/vcpu/entry.h>
#include <kernel/core/panic.h>
#include <kernel/guest/vcpu/vcpuload.h>
#include <kernel/core/work.h>

#define QUANTUM_NS 10000000UL

struct sched {
	struct spinlock lock; /* guards `ready` and the state of this CPU's vCPUs; leaf */
	struct list ready; /* by falling priority; equals in order of arrival */
	struct timer quantum; /* its interrupt alone is what ends the guest's turn */
};

static struct sched scheds[MAX_CPUS];

static struct sched *lock_of(struct vcpu *v)
{
	struct sched *s = &scheds[v->tlb.cpu];

	spin_lock(&s->lock);
	return s;
}

static void enqueue(struct sched *s, struct vcpu *v)
{
	struct list *at = s->ready.next;

	if (v->queued)
		return;
	while (at != &s->ready && list_entry(at, struct vcpu, run_link)->priority >= v->priority)
		at = at->next;
	list_add_tail(at, &v->run_link);
	v->queued = true;
}

static void dequeue(struct vcpu *v)
{
	list_del(&v->run_link);
	v->queued = false;
}

/* Make v's CPU look at its queue, or at v's pending interrupts. */
static void nudge(struct vcpu *v)
{
	if (v->tlb.cpu != this_cpu()->id)
		irq_send(v->tlb.cpu, VECTOR_KICK);
}

static void make_runnable(struct sched *s, struct vcpu *v)
{
	v->state = VCPU_RUNNABLE;
	enqueue(s, v);
}

void vcpu_start(struct vcpu *v, const struct guest_entry *entry)
{
	struct sched *s = lock_of(v);

	if (v->state == VCPU_OFFLINE) {
		vcpu_backend->set_entry(v, entry);
		make_runnable(s, v);
	}
	spin_unlock(&s->lock);
	nudge(v);
}

void vcpu_power_on(struct vcpu *v)
{
	struct sched *s = lock_of(v);

	if (v->state == VCPU_DEAD || v->state == VCPU_OFFLINE) {
		vcpu_reset(v);
		v->wake_pending = v->kill_pending = v->init_pending = v->sipi_pending = false;
		v->state = VCPU_OFFLINE;
	} else {
		/* Its domain ends while it is still being built. */
		BUG_ON(!v->kill_pending);
	}
	spin_unlock(&s->lock);
}

void vcpu_sipi(struct vcpu *v, u8 vector)
{
	struct sched *s = lock_of(v);
	bool start = v->state == VCPU_OFFLINE && !v->kill_pending;

	if (start) {
		vcpu_backend->set_sipi(v, vector);
		make_runnable(s, v);
	} else if (v->init_pending) {
		v->sipi_pending = true;
		v->sipi_vector = vector;
	}
	spin_unlock(&s->lock);
	if (start)
		nudge(v);
}

void vcpu_init_signal(struct vcpu *v)
{
	struct sched *s = lock_of(v);

	if (v->state != VCPU_OFFLINE && v->state != VCPU_DEAD) {
		v->init_pending = true;
		v->sipi_pending = false;
		make_runnable(s, v);
	}
	spin_unlock(&s->lock);
	nudge(v);
}

void vcpu_interrupt(struct vcpu *v)
{
	struct sched *s = lock_of(v);
	bool look = v->state == VCPU_HALTED;

	if (look)
		make_runnable(s, v);
	smp_mb(); /* what is pending was published before; the entry path sets in_guest before it looks */
	look |= read_once(&v->tlb.in_guest);
	spin_unlock(&s->lock);
	if (look)
		nudge(v);
}

void vcpu_wake(struct vcpu *v)
{
	struct sched *s = lock_of(v);
	bool woken = v->state == VCPU_PARKED;

	v->wake_pending = true;
	if (woken)
		make_runnable(s, v);
	spin_unlock(&s->lock);
	if (woken)
		nudge(v);
}

void vcpu_prepare_park(struct vcpu *v)
{
	struct sched *s = lock_of(v);

	v->wake_pending = false;
	spin_unlock(&s->lock);
}

void vcpu_park(struct vcpu *v)
{
	struct sched *s = lock_of(v);

	if (v->state == VCPU_RUNNABLE && !v->wake_pending)
		v->state = VCPU_PARKED;
	spin_unlock(&s->lock);
}

void vcpu_halt(struct vcpu *v)
{
	struct sched *s = lock_of(v);

	if (v->state == VCPU_RUNNABLE && vlapic_pending(v) < 0 && !v->nmi_pending)
		v->state = VCPU_HALTED;
	spin_unlock(&s->lock);
}

void vcpu_kill(struct vcpu *v)
{
	struct sched *s = lock_of(v);

	v->kill_pending = true;
	/* Its own CPU ends it, which may be in the middle of running it. */
	if (v->state != VCPU_DEAD)
		make_runnable(s, v);
	spin_unlock(&s->lock);
	nudge(v);
}

bool vcpu_is_stopped(struct vcpu *v)
{
	struct sched *s = lock_of(v);
	bool dead = v->state == VCPU_DEAD;

	spin_unlock(&s->lock);
	return dead;
}

static void stop(struct vcpu *v)
{
	vlapic_reset(v);
	write_once(&v->nmi_pending, false); /* it would hit the vCPU in real mode */
	v->init_pending = false;
	if (v->kill_pending) {
		vcpu_unload(v);
		v->state = VCPU_DEAD;
	} else if (v->sipi_pending) {
		v->sipi_pending = false;
		vcpu_backend->set_sipi(v, v->sipi_vector);
		v->state = VCPU_RUNNABLE;
	} else {
		v->state = VCPU_OFFLINE;
	}
}

/* Kill and INIT are acted on here, where the vCPU is certainly not running. False: v is not to be
 * run now. */
static bool act_on_requests(struct vcpu *v)
{
	if (v->kill_pending || v->init_pending)
		stop(v);
	return v->state == VCPU_RUNNABLE;
}

static struct vcpu *pick(struct sched *s)
{
	struct vcpu *v;

	while (!list_empty(&s->ready)) {
		v = list_first(&s->ready, struct vcpu, run_link);
		dequeue(v);
		if (act_on_requests(v))
			return v;
	}
	return NULL;
}

/* True: v goes on. Else it is back in the queue if it can run, behind its equals if its turn is
 * over. */
static bool keep_running(struct sched *s, struct vcpu *v)
{
	bool go_on = false;

	spin_lock(&s->lock);
	if (v->kill_pending || v->init_pending) {
		enqueue(s, v);
	} else if (v->state == VCPU_RUNNABLE) {
		struct vcpu *first;

		/* A wake-up that came right after it went to sleep has queued it. */
		if (v->queued)
			dequeue(v);
		first = list_first(&s->ready, struct vcpu, run_link);
		go_on = list_empty(&s->ready) || first->priority < v->priority;
		if (!list_empty(&s->ready) && first->priority == v->priority) {
			go_on = clock_ns() < v->quantum_end_ns;
			if (go_on && !s->quantum.armed)
				timer_set(&s->quantum, v->quantum_end_ns);
		}
		if (!go_on)
			enqueue(s, v);
	}
	spin_unlock(&s->lock);
	return go_on;
}

static void run(struct sched *s, struct vcpu *v, void (*handle_exit)(struct vcpu *v))
{
	v->quantum_end_ns = clock_ns() + QUANTUM_NS;
	vcpu_load(v);
	while (keep_running(s, v)) {
		vcpu_backend->enter(v);
		handle_exit(v);
		if (read_once(&this_cpu()->work_pending)) {
			work_run();
			irq_window();
		}
	}
}

static void quantum_over(struct timer *t __unused)
{
}

static void kicked(void *arg __unused)
{
}

void sched_init(void)
{
	for (u32 i = 0; i < MAX_CPUS; i++) {
		spin_init(&scheds[i].lock, LOCK_SCHED);
		list_init(&scheds[i].ready);
		timer_init(&scheds[i].quantum, quantum_over);
	}
	irq_set_fixed(VECTOR_KICK, kicked, NULL);
}

void sched_enter(void (*handle_exit)(struct vcpu *v))
{
	struct sched *s = &scheds[this_cpu()->id];

	for (;;) {
		struct vcpu *v;

		if (work_run()) {
			irq_window();
			continue;
		}
		spin_lock(&s->lock);
		v = pick(s);
		spin_unlock(&s->lock);
		if (v)
			run(s, v, handle_exit);
		else
			/* A wake-up from another CPU comes with an interrupt, which is pending by
			 * now: it ends the halt. */
			irq_wait();
	}
}
