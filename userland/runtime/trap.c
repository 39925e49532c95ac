/* Exceptions and interrupts. */
#include <kernel/x86/control.h>
#include <kernel/x86/exceptions.h>
#include <kernel/x86/segment.h>
#include <kernel/x86/trap.h>
#include "runtime.h"

#define VECTOR_FIRST_DEVICE 0x40
#define VECTOR_LAST_DEVICE 0xef
#define CODE_SELECTOR 0x08

static struct idt_gate idt[NR_VECTORS];
static struct {
	interrupt_handler handler;
	void *ctx;
} handlers[NR_VECTORS];
static u8 next_vector = VECTOR_FIRST_DEVICE;

void trap_init(void)
{
	for (u32 v = 0; v < NR_VECTORS; v++)
		idt[v] = interrupt_gate(trap_stubs[v], CODE_SELECTOR, GATE_INTERRUPT, 0);
	lidt(idt, sizeof(idt));
}

u8 interrupt_allocate(interrupt_handler handler, void *ctx)
{
	if (next_vector > VECTOR_LAST_DEVICE)
		fatal("all interrupt vectors are in use");
	handlers[next_vector].ctx = ctx;
	handlers[next_vector].handler = handler;
	return next_vector++;
}

void trap(struct trap_frame *f)
{
	if (f->vector < NR_EXCEPTIONS)
		fatal("exception %lu (%s), error %lx, at rip %lx, rsp %lx, cr2 %lx, rax %lx, rdi "
		      "%lx",
		      f->vector, exception_name(f->vector), f->error, f->rip, f->rsp, read_cr2(),
		      f->rax, f->rdi);
	if (f->vector == VECTOR_SPURIOUS)
		return;
	if (handlers[f->vector].handler)
		handlers[f->vector].handler(handlers[f->vector].ctx);
	x2apic_end_of_interrupt();
}
