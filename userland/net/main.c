/* The network guest: a web server, an echo server and a throughput server over lwIP; without a
 * network device, a heartbeat. Command line: ip= gw= mask= interrupts=msi test=spin
 * exit=SECONDS. */
#include <lwip/apps/lwiperf.h>
#include <lwip/timeouts.h>
#include <string.h>
#include <kernel/x86/interrupts.h>
#include "../lwip/netif.h"
#include "../runtime/runtime.h"
#include "echo.h"
#include "http.h"
#include "release.h"
#include "stats.h"

#define SECOND 1000000000UL
#define POLL_BUDGET 64

u64 idle_ns;
static u64 exit_after; /* seconds; 0: never */

static void exit_if_due(void)
{
	if (exit_after && clock_ns() >= exit_after * SECOND) {
		print("net: shutting down after %lu seconds\n", exit_after);
		shutdown(HOW_POWER_OFF, 0);
	}
}

/* Halt until an interrupt, but not beyond the time `until`, and not at all if *pending is set. */
static void halt(u64 until, const volatile bool *pending)
{
	u64 now = clock_ns();

	if (until <= now)
		return;
	interrupts_off();
	if (event_pending || (pending && *pending)) {
		interrupts_on();
		return;
	}
	x2apic_timer(until - now);
	interrupts_on_and_halt();
	idle_ns += clock_ns() - now;
}

static void spin(void)
{
	u64 next = SECOND, count = 0, second = 0;

	print("net: test=spin: burning the CPU\n");
	for (;; count++) {
		if (clock_ns() < next)
			continue;
		next += SECOND;
		print("net: spin %lu: %lu rounds\n", ++second, count);
		exit_if_due();
	}
}

/* Returns when devices came or went. */
static void heartbeat(void)
{
	u64 second = clock_ns() / SECOND;

	while (!(events_take() & WEIR_EVENT_DEVICES)) {
		if (clock_ns() >= (second + 1) * SECOND) {
			print("net: heartbeat %lu\n", ++second);
			exit_if_due();
		}
		halt((second + 1) * SECOND, NULL);
	}
}

static void print_device(const struct netdev *dev)
{
	print("net: %s, %s, MAC %02x:%02x:%02x:%02x:%02x:%02x\n", dev->name, dev->interrupt_kind,
	      dev->mac[0], dev->mac[1], dev->mac[2], dev->mac[3], dev->mac[4], dev->mac[5]);
}

static void handle_events(struct netdev *dev)
{
	u64 events = events_take();

	if (events & WEIR_EVENT_QUARANTINED)
		print("net: Weir has quarantined %s: it can no longer access memory\n", dev->name);
	if ((events & WEIR_EVENT_DEVICES) && netdev_changed(dev)) {
		if (dev->gone)
			print("net: %s is gone; waiting for it to come back\n", dev->name);
		else
			print_device(dev);
	}
}

/* lwiperf_report_fn */
static void perf_report(void *arg, enum lwiperf_report_type type, const ip_addr_t *local_address,
			u16_t local_port, const ip_addr_t *remote, u16_t remote_port, u32_t bytes,
			u32_t ms, u32_t kbits)
{
	(void)arg;
	(void)local_address;
	(void)local_port;
	print("net: lwiperf with %s port %u: %u bytes in %u ms, %u kbit/s (report type %d)\n",
	      ipaddr_ntoa(remote), remote_port, bytes, ms, kbits, type);
}

static void address_ready(struct netif *netif)
{
	static bool running;

	if (!running) {
		http_start(netif->state);
		echo_start();
		lwiperf_start_tcp_server_default(perf_report, NULL);
		running = true;
	}
	print("net: serving http on %s\n", ip4addr_ntoa(netif_ip4_addr(netif)));
}

static void serve(struct netdev *dev)
{
	for (;;) {
		u64 until = clock_ns() + SECOND;
		bool more = false;
		u32 ms;

		handle_events(dev);
		if (!dev->gone)
			more = netdev_poll(dev, POLL_BUDGET) != 0;
		sys_check_timeouts();
		exit_if_due();
		if (release_step(&until) || more)
			continue;
		ms = sys_timeouts_sleeptime();
		if (ms != SYS_TIMEOUTS_SLEEPTIME_INFINITE)
			until = MIN(until, clock_ns() + ms * 1000000UL);
		halt(until, &dev->pending);
	}
}

static void print_what_is_there(void)
{
	char known[96], found[96];

	netdev_describe(known, found, sizeof(found));
	print("net: no network device that this guest has a driver for (%s): found %s; waiting for "
	      "one (pci= on its module line, or attach)\n",
	      known, found);
}

void program_main(void)
{
	const char *test = option("test");
	bool spinning = test && !strcmp(test, "spin");
	struct netdev *dev;

	greet();
	print("net: Weir's network guest\n");
	exit_after = option_number("exit", 0);
	if (spinning)
		spin();
	events_init();
	dev = netdev_probe();
	if (!dev)
		print_what_is_there();
	while (!dev) {
		heartbeat();
		dev = netdev_probe();
	}
	print_device(dev);
	if (!netif_open(dev, address_ready))
		for (;;)
			heartbeat();
	serve(dev);
}
