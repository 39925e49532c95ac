/* The runtime of Weir's own guests, which run under Weir or natively: one CPU, one thread, memory
 * identity-mapped. */
#pragma once

#include <kernel/abi/hypercall.h>
#include <kernel/lib/compiler.h>

/* The program's entry, called with interrupts on. Must not return. */
void program_main(void);

/* Print to the console, COM1, with LF expanded to CR LF. */
void print(const char *fmt, ...) __printf(1, 2);
/* Print bytes unchanged. */
void print_raw(const char *bytes, size_t nr);
/* The next byte of input, or -1. */
int console_get(void);
/* Print how this guest was started, whether Weir is there, and how much memory there is. */
void greet(void);
/* Print what is wrong; then end the domain, or natively halt the CPU. */
void fatal(const char *fmt, ...) __printf(1, 2) __noreturn;

/* Start information (boot.c) */
struct memory_region {
	u64 base, size;
};

/* The value after "key=" on the command line, up to the next space, in a static buffer; NULL if the
 * key is absent. */
const char *option(const char *key);
u64 option_number(const char *key, u64 otherwise);
const char *command_line(void);
const char *boot_protocol(void);
u64 memory_total(void);

/* Memory (memory.c). The largest free block is split in two: the heap, and a spare region, which
 * the runtime does not use. */
/* Zeroed memory, which is never freed. Running out is fatal. align: a power of two. */
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
/* The signature in CPUID, or "" */
const char *hypervisor_name(void);
/* Only under Weir. Returns the hypercall's result. */
s64 hypercall(u64 number, u64 a, u64 b, u64 c);
/* End the domain by hypercall. Natively: power off through the ACPI port of QEMU's q35, or halt. */
#define HOW_POWER_OFF 0
#define HOW_REBOOT 1
#define HOW_CRASHED 2
void shutdown(u64 how, u64 status) __noreturn;

/* Events from Weir (enum weir_event; events.c). After events_init() an event ends a halt; natively
 * there are none. Check event_pending with interrupts off before halting. */
void events_init(void);
extern volatile bool event_pending;
/* The events since the last call. */
u64 events_take(void);

/* Interrupts (trap.c, x2apic.c) */
#define VECTOR_TIMER 0x30
#define VECTOR_SPURIOUS 0xff

typedef void (*interrupt_handler)(void *ctx);
/* Allocate a vector for a device's interrupt. The handler runs with interrupts off, before the
 * EOI. */
u8 interrupt_allocate(interrupt_handler handler, void *ctx);
u32 x2apic_id(void);
void x2apic_end_of_interrupt(void);
/* Set the timer to interrupt once, ns from now; 0: stop it. The interrupt does nothing but end a
 * halt. */
void x2apic_timer(u64 ns);

void trap_init(void);
void x2apic_init(void);
void boot_init(void);
void memory_init(void);
void clock_init(void);
void hypervisor_init(void);
void console_init(void);
