/* The scheduler: one run queue per CPU, ordered by priority; vCPUs of equal priority take turns
 * with a quantum. kernel/guest/vcpu/vcpustate.c has the states of vCPUs. */
#include <kernel/guest/vcpu/sched.h>

#include <kernel/core/background.h>
#include <kernel/core/clock.h>
#include <kernel/core/irq.h>
#include <kernel/core/irqoff.h>
#include <kernel/core/work.h>
#include <kernel/guest/quirks/emulator.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/vcpustate.h>

#define QUANTUM_NS 10000000UL
/* An interrupt, with the exit and the entry of the vCPU that it disturbs. */
#define INTERRUPT_NS 2000UL

struct sched {
	struct spinlock
		lock; /* guards `ready`, `running` and the state of this CPU's vCPUs; leaf */
	struct list ready; /* highest priority first; equal ones in order of arrival */
	int running; /* the priority of the vCPU that was picked last; -1: none was ready */
	struct timer quantum; /* only its interrupt matters: it ends guest mode */
};

static struct sched scheds[MAX_CPUS];

static struct sched *sched_of(const struct vcpu *v)
{
	return &scheds[v->tlb.cpu];
}

void sched_lock(const struct vcpu *v)
{
	spin_lock(&sched_of(v)->lock);
}

void sched_unlock(const struct vcpu *v)
{
	spin_unlock(&sched_of(v)->lock);
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

void sched_nudge(const struct vcpu *v)
{
	if (v->tlb.cpu != this_cpu()->id)
		irq_send(v->tlb.cpu, VECTOR_KICK);
}

bool sched_make_runnable(struct vcpu *v)
{
	struct sched *s = sched_of(v);

	assert_locked(&s->lock);
	/* In this order: see is_undisturbed(). */
	enqueue(s, v);
	store_release(&v->state, VCPU_RUNNABLE);
	return (int)v->priority >= s->running;
}

static struct vcpu *pick_next(struct sched *s)
{
	struct vcpu *v;

	while (!list_empty(&s->ready)) {
		v = list_first(&s->ready, struct vcpu, run_link);
		dequeue(v);
		if (vcpu_act_on_requests(v)) {
			s->running = v->priority;
			return v;
		}
	}
	s->running = -1;
	return NULL;
}

/* Mostly nobody else wants the CPU, and nobody wants anything of v: it would be in the queue too.
 * Without the lock: whoever changes that meanwhile sends an interrupt, and v is here again after
 * the exit. The state comes first: if another CPU has made v runnable, v is seen in the queue. */
static bool is_undisturbed(const struct sched *s, const struct vcpu *v)
{
	return load_acquire(&v->state) == VCPU_RUNNABLE && read_once(&s->ready.next) == &s->ready;
}

/* True: v continues to run. Otherwise v is back in the queue if it can run, behind those of equal
 * priority if its quantum is over. */
static __noinline bool keep_running(struct sched *s, struct vcpu *v)
{
	bool go_on = false;

	spin_lock(&s->lock);
	if (v->kill_pending || v->init_pending) {
		enqueue(s, v);
	} else if (v->state == VCPU_RUNNABLE) {
		struct vcpu *first;

		/* It went to sleep and was woken at once, which has queued it. */
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

void sched_charge(struct vcpu *v, u64 ns)
{
	struct vcpu *current = this_cpu()->current;

	if (scheds[this_cpu()->id].running < 0 || !current || current == v)
		return;
	current->quantum_end_ns += ns + INTERRUPT_NS;
	v->owed_ns += ns + INTERRUPT_NS;
}

static void begin_quantum(struct vcpu *v)
{
	u64 pays = MIN(v->owed_ns, QUANTUM_NS / 2);

	v->owed_ns -= pays;
	v->quantum_end_ns = clock_ns() + QUANTUM_NS - pays;
}

/* A function of its own, so that what the loop needs is in registers. */
static __noinline void run_vcpu(struct sched *s, struct vcpu *v,
				void (*handle_exit)(struct vcpu *v))
{
	void (*const enter)(struct vcpu *v) = vcpu_backend->enter;
	const struct cpu *cpu = this_cpu();

	begin_quantum(v);
	vcpu_load(v);
	while (likely(is_undisturbed(s, v)) || keep_running(s, v)) {
		enter(v);
		handle_exit(v);
		irqoff_part((const void *)handle_exit);
		if (unlikely(read_once(&cpu->work_pending)))
			work_run();
	}
}

/* Another CPU that has made a vCPU runnable sends an interrupt. If that is already pending, it ends
 * the halt at once. */
static void wait_for_interrupt(void)
{
	if (emulated())
		emulator_send_pending_again();
	irq_wait();
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
		scheds[i].running = -1;
		timer_init(&scheds[i].quantum, quantum_over);
	}
	irq_set_fixed(VECTOR_KICK, kicked, NULL);
}

void sched_enter(void (*handle_exit)(struct vcpu *v))
{
	struct sched *s = &scheds[this_cpu()->id];

	for (;;) {
		struct vcpu *v;

		if (work_run())
			continue;
		spin_lock(&s->lock);
		v = pick_next(s);
		spin_unlock(&s->lock);
		if (v)
			run_vcpu(s, v, handle_exit);
		else if (background_run())
			irq_window();
		else
			background_wait(wait_for_interrupt);
	}
}
