/* Exceptions end a step and nothing else. Each vCPU has its own exception stack (IST, SDM vol. 3,
 * 6.14.5), whose address tells the handler which vCPU it is on. That needs nothing that a step can
 * change, except page tables that map this guest. */
#include <tests/guests/fuzz/fuzz.h>

#include <kernel/x86/trap.h>

#define IST_EXCEPTION 1
#define IST_NMI 2

struct cpu cpus[MAX_CPUS];
static struct idt_gate idt[NR_VECTORS] __aligned(16);
extern const u8 guarded_end[], level_4[];

void guarded_call(void (*fn)(struct cpu *c), struct cpu *c, volatile u64 *kept_rsp);

static void load_tables(struct cpu *c)
{
	lgdt(c->gdt, sizeof(c->gdt));
	lidt(idt, sizeof(idt));
}

/* Restore what a step may have changed to the state that start.asm set up. CR3 comes first, because
 * the rest needs valid page tables. */
static void restore(struct cpu *c)
{
	write_cr3((u64)level_4);
	load_tables(c);
	if (!c->dirty)
		return;
	c->dirty = false;
	write_cr4(CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT);
	write_cr0(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE);
	write_dr(7, DR7_RESET);
	wrmsr(MSR_EFER, EFER_NXE | EFER_LMA | EFER_LME | EFER_SCE);
	wrmsr(MSR_APIC_BASE, APIC_DEFAULT_ADDRESS | APIC_BASE_EXTD | APIC_BASE_ENABLE |
				     (c->id ? 0 : APIC_BASE_BSP));
	wrmsr(X2APIC(APIC_SVR), SVR_ENABLE | 0xff);
	wrmsr(X2APIC(APIC_TPR), 0);
}

static void recover(struct cpu *c, struct trap_frame *f)
{
	restore(c);
	f->rip = (u64)guarded_end;
	f->cs = SELECTOR_CODE_64;
	f->rflags = RFLAGS_RESERVED;
	f->rsp = c->kept_rsp;
	f->ss = SELECTOR_DATA;
}

void trap(struct trap_frame *f)
{
	struct cpu *c = &cpus[((u64)f - (u64)cpus) / sizeof(cpus[0])];

	if (f->vector >= NR_EXCEPTIONS) {
		wrmsr(X2APIC(APIC_EOI), 0);
		return;
	}
	/* Another vCPU sends an NMI when it sees no progress. Between two steps there is nothing
	 * to end. */
	if (f->vector == EXC_NMI && (c->steps != c->steps_at_nmi || !c->kept_rsp)) {
		c->steps_at_nmi = c->steps;
		return;
	}
	/* A breakpoint that the last step set. */
	if (f->vector == EXC_DB && !c->kept_rsp) {
		write_dr(7, DR7_RESET);
		return;
	}
	if (!c->kept_rsp) {
		print("fuzz: exception %lu between steps, error 0x%lx, RIP 0x%lx\n", f->vector,
		      f->error, f->rip);
		halt_forever();
	}
	recover(c, f);
}

void guarded(struct cpu *c, void (*fn)(struct cpu *c))
{
	guarded_call(fn, c, &c->kept_rsp);
	__asm__ volatile("cli; cld" ::: "memory");
	c->kept_rsp = 0;
	restore(c);
}

void traps_init(void)
{
	for (u32 v = 0; v < NR_VECTORS; v++)
		idt[v] = interrupt_gate(trap_stubs[v], SELECTOR_CODE_64,
					/* User mode can reach some of them with INT n. */
					v % 16 == 3 ? GATE_INTERRUPT_USER : GATE_INTERRUPT,
					v == EXC_NMI ? IST_NMI : IST_EXCEPTION);
}

struct cpu *cpu_init(u32 id)
{
	struct cpu *c = &cpus[id];

	c->id = id;
	c->kept_rsp = 0;
	c->dirty = true;
	c->tss.ist[IST_EXCEPTION - 1] = (u64)(c->exception_stack + STACK);
	c->tss.ist[IST_NMI - 1] = (u64)(c->nmi_stack + STACK);
	c->tss.rsp[0] = (u64)(c->exception_stack + STACK);
	c->tss.io_map_base = sizeof(c->tss);
	c->gdt[1] = GDT_CODE64;
	c->gdt[2] = GDT_DATA;
	c->gdt[3] = GDT_CODE32;
	c->gdt[4] = GDT_CODE16 | (code_base_16() & 0xffffff) << 16;
	c->gdt[5] = GDT_USER_DATA;
	c->gdt[6] = GDT_USER_CODE64;
	set_tss_descriptor(&c->gdt[7], &c->tss);
	load_tables(c);
	ltr(7 * 8);
	restore(c);
	return c;
}
