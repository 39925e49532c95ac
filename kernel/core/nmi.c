/* NMIs of the chipset. See nmi.h. Nothing may be logged in an NMI, because the CPU may hold the
 * log's lock: a timer tells. */
#include <kernel/core/nmi.h>

#include <kernel/core/clock.h>
#include <kernel/core/cpu.h>
#include <kernel/core/log.h>
#include <kernel/lib/atomic.h>
#include <kernel/x86/io.h>

/* NMI status and control (Intel's chipsets: NMI_STS_CNT). */
#define PORT_B 0x61
#define PORT_B_CONTROL 0x0f /* the writable bits */
#define PORT_B_SERR_OFF 0x04
#define PORT_B_IOCHK_OFF 0x08
#define PORT_B_IOCHK 0x40
#define PORT_B_SERR 0x80

#define TELL_NS 5000000000UL

static u64 count, told;
static u8 reason;
static bool stops;
static struct timer timer;

/* While the source's bit is set, it raises no other NMI: switch it off and on. */
static void ask_chipset(void)
{
	u8 b = inb(PORT_B), control = b & PORT_B_CONTROL, off = 0;

	off |= b & PORT_B_SERR ? PORT_B_SERR_OFF : 0;
	off |= b & PORT_B_IOCHK ? PORT_B_IOCHK_OFF : 0;
	write_once(&reason, b & (PORT_B_SERR | PORT_B_IOCHK));
	if (!off)
		return;
	outb(PORT_B, control | off);
	outb(PORT_B, control & (u8)~off);
}

bool nmi_take(void)
{
	(void)atomic_add(&count, 1);
	/* All CPUs may get it: one asks. */
	if (!this_cpu()->id)
		ask_chipset();
	return stops;
}

const char *nmi_reason(void)
{
	switch (read_once(&reason)) {
	case 0:
		return "the chipset names no reason: the NMI button, a watchdog or the firmware";
	case PORT_B_IOCHK:
		return "IOCHK#: an expansion card reports an error";
	default:
		return "SERR#: a device or the memory reports an error";
	}
}

static void tell(struct timer *t)
{
	u64 now = read_once(&count);

	if (now != told)
		log_warn("NMI: %lu so far on all CPUs; %s (nmi=panic stops at the first)", now,
			 nmi_reason());
	told = now;
	timer_set(t, clock_ns() + TELL_NS);
}

void nmi_start(bool panics)
{
	stops = panics;
	timer_init(&timer, tell);
	timer_set(&timer, clock_ns() + TELL_NS);
}
