/* Catches exceptions that a check provokes, and counts interrupts. */
#include <tests/guests/guest.h>

#include <kernel/x86/segment.h>
#include <kernel/x86/trap.h>

volatile struct caught caught;
volatile u32 taken[256];
volatile u8 order[16];
volatile u32 order_at;
volatile u32 keep_in_service;
volatile u32 taken_while_off;
void (*volatile on_nmi)(struct trap_frame *f);
volatile u32 linger;
volatile u8 eoi_flag __aligned(4);
volatile u32 eois_by_flag;

#define CODE_SELECTOR 0x08
#define DATA_SELECTOR 0x10

static struct idt_gate idt[NR_VECTORS] __aligned(16);

static void end_of_interrupt(void)
{
	if (eoi_flag & 1) {
		eoi_flag = 0;
		eois_by_flag++;
	} else {
		wrmsr(X2APIC(APIC_EOI), 0);
	}
}

void trap(struct trap_frame *f)
{
	if (f->vector < NR_EXCEPTIONS && f->vector != EXC_NMI) {
		caught.vector = f->vector;
		caught.error = f->error;
		caught.rip = f->rip;
		caught.rflags = f->rflags;
		caught.cr2 = read_cr2();
		caught.dr6 = read_dr(6);
		f->rflags &= ~RFLAGS_TF; /* only one single step */
		if (caught.resume) {
			f->rip = caught.resume;
			/* From user mode, to the kernel. */
			f->cs = CODE_SELECTOR;
			f->ss = DATA_SELECTOR;
			return;
		}
		if (f->vector == EXC_BP || f->vector == EXC_OF || f->vector == EXC_DB)
			return;
		print("FAIL unexpected exception %lu, error 0x%lx, RIP 0x%lx, CR2 0x%lx\n",
		      f->vector, f->error, f->rip, caught.cr2);
		end(END_CRASHED, 1);
	}
	__atomic_fetch_add(&taken[f->vector], 1, __ATOMIC_SEQ_CST);
	if (f->vector == EXC_NMI && on_nmi)
		on_nmi(f);
	if (f->vector >= NR_EXCEPTIONS && !(f->rflags & RFLAGS_IF))
		__atomic_fetch_add(&taken_while_off, 1, __ATOMIC_SEQ_CST);
	for (u32 i = linger; i; i--)
		__asm__ volatile("");
	order[order_at++ % ARRAY_SIZE(order)] = (u8)f->vector;
	if (f->vector != EXC_NMI && f->vector != 0x80 && f->vector != keep_in_service)
		end_of_interrupt();
}

void traps_load(void)
{
	lidt(idt, sizeof(idt));
	/* Firmware may leave a table there, in which a selector of ours would find something. */
	lldt(0);
}

void traps_init(void)
{
	for (u32 v = 0; v < NR_VECTORS; v++)
		idt[v] = interrupt_gate(trap_stubs[v], CODE_SELECTOR, GATE_INTERRUPT, 0);
	traps_load();
}
