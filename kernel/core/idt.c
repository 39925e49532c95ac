/* The interrupt descriptor table, and what each vector leads to. */
#include <kernel/core/idt.h>

#include <kernel/core/cpu.h>
#include <kernel/core/cpuinit.h>
#include <kernel/core/gdt.h>
#include <kernel/core/irq.h>
#include <kernel/core/irqhandle.h>
#include <kernel/core/panic.h>
#include <kernel/core/panictrap.h>
#include <kernel/x86/exceptions.h>
#include <kernel/x86/segment.h>
#include <kernel/x86/trap.h>

static struct idt_gate idt[NR_VECTORS];

static u8 stack_of(u32 vector)
{
	switch (vector) {
	case EXC_NMI:
		return IST_NMI;
	case EXC_DF:
		return IST_DOUBLE_FAULT;
	case EXC_MC:
		return IST_MACHINE_CHECK;
	default:
		return IST_NONE;
	}
}

void idt_load(void)
{
	if (!idt[0].type)
		for (u32 v = 0; v < NR_VECTORS; v++)
			idt[v] = interrupt_gate(trap_stubs[v], SEL_CODE, GATE_INTERRUPT,
						stack_of(v));
	lidt(idt, sizeof(idt));
}

void trap(struct trap_frame *f)
{
	if (f->vector >= NR_EXCEPTIONS) {
		irq_handle((int)f->vector);
		return;
	}
	/* Between a guest's exit and the reload of the host's state, only exceptions can come. */
	cpu_repair_gs();
	if (f->vector == EXC_NMI)
		panic_nmi(f);
	else if (f->vector == EXC_MC)
		panic_machine_check(f);
	else
		panic_trap(f);
}
