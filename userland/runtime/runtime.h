/* The runtime of a Weir guest: what a program of ours finds when it starts, under Weir or on the
 * bare machine. One CPU, one thread, memory mapped one to one. main() is called with interrupts on.
 */
#pragma once

#include <kernel/abi/hypercall.h>
#include <kernel/lib/compiler.h>

/* The program's own. Does not return. */
void program_main(void);

/* Console, COM1. Lines end with CR LF there. */
void print(const char *fmt, ...) __printf(1, 2);
/* As they are. */
void print_raw(const char *bytes, size_t nr);
/* What was typed, or -1. */
int console_get(void);
/* Some lines that tell how it was started, on what, with how much memory. */
void greet(void);
/* One line that says what is wrong, then the end: the domain's, or of the machine's CPU. */
void fatal(const char *fmt, ...) __printf(1, 2) __noreturn;

/* Start information (boot.c) */
struct memory_region {
	u64 base, size;
};

/* NULL if the word is absent; else what follows "key=", up to the next space, in a static
 * buffer. */
const char *option(const char *key);
u64 option_number(const char *key, u64 otherwise);
const char *command_line(void);
const char *boot_protocol(void);
u64 memory_total(void);

/* Memory (memory.c). The largest usable piece is cut in two: heap, and a spare region that nothing
 * of ours uses. */
/* Never fails (it is fatal), zeroed, never freed. align: a power of two. */
void *heap_take(size_t size, size_t align);
u64 heap_free_bytes(void);
/* 2 MiB aligned; may be empty */
struct memory_region spare_region(void);

/* Time (clock.c): since the start */
u64 clock_ns(void);
u64 clock_tsc_khz(void);
void delay_us(u32 us);

/* Hypervisor (hypervisor.c) */
bool hypervisor_is_weir(void);
/* What CPUID says, or "" */
const char *hypervisor_name(void);
/* Only under Weir. The result of the hypercall. */
s64 hypercall(u64 number, u64 a, u64 b, u64 c);
/* The end, by hypercall; natively power off by ACPI's port of QEMU's q35, else halt. */
#define HOW_POWER_OFF 0
#define HOW_REBOOT 1
#define HOW_CRASHED 2
void shutdown(u64 how, u64 status) __noreturn;

/* Events from Weir (enum weir_event; events.c). After events_init() an event ends a halt; it is
 * natively without effect. Who is about to halt looks at event_pending with interrupts off. */
void events_init(void);
extern volatile bool event_pending;
/* The events since the last call. */
u64 events_take(void);

/* Interrupts (trap.c, x2apic.c) */
#define VECTOR_TIMER 0x30
#define VECTOR_SPURIOUS 0xff

typedef void (*interrupt_handler)(void *ctx);
/* A free vector for a device's interrupt; the handler runs with interrupts off, the end of
 * interrupt follows it. */
u8 interrupt_allocate(interrupt_handler handler, void *ctx);
u32 x2apic_id(void);
void x2apic_end_of_interrupt(void);
/* One timer interrupt after ns from now; 0: none. It only ends a halt. */
void x2apic_timer(u64 ns);

void trap_init(void);
void x2apic_init(void);
void boot_init(void);
void memory_init(void);
void clock_init(void);
void hypervisor_init(void);
void console_init(void);
