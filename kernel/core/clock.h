/* Time since boot, and one-shot timers per CPU. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/list.h>

/* Nanoseconds since Weir started; monotonic, the same on all CPUs. */
u64 clock_ns(void);
/* Unix time in nanoseconds at the time `ns` of clock_ns(). 0: the machine has no real-time
 * clock. */
u64 clock_wall_ns(u64 ns);
/* TSC ticks per second, as calibrated at boot. */
u64 clock_tsc_hz(void);
/* The value of clock_ns() when the TSC had this value. */
u64 clock_at(u64 tsc);
/* Nanoseconds per TSC tick, as a 32.32 fixed-point number. */
u64 clock_ns_mult(void);
/* A number of TSC ticks in nanoseconds. */
u64 clock_tsc_to_ns(u64 ticks);
/* Spin for a short, known time: hardware bring-up at boot only. */
void clock_delay_us(u32 us);

struct timer {
	struct list link;
	u64 deadline_ns;
	void (*fn)(struct timer *t);
	bool armed;
	u32 cpu; /* where it is armed */
};

void timer_init(struct timer *t, void (*fn)(struct timer *t));
/* (Re)arm on this CPU; fn runs here, in interrupt context, at or soon after the deadline. */
void timer_set(struct timer *t, u64 deadline_ns);
/* Disarm; does nothing if it is not armed. When this returns, fn may still be running on the CPU
 * that armed it. */
void timer_cancel(struct timer *t);
/* Disarm. False: fn is still running on some CPU, so ask again. Nobody arms it meanwhile. */
bool __must_check timer_stop(struct timer *t);
