/* Exceptions end a step and nothing else. Each vCPU has its own stack for them (IST, SDM vol. 3, 6.14.5), by whose address the
 * handler knows the vCPU: nothing that a step can change is needed for that, but tables that map this guest. */
#include <tests/guests/fuzz/fuzz.h>

#define IST_EXCEPTION 1
#define IST_NMI 2

struct cpu cpus[MAX_CPUS];
static struct gate {
	u16 offset_low, selector;
	u8 ist, type;
	u16 offset_middle;
	u32 offset_high, reserved;
} idt[256] __attribute__((aligned(16)));
extern const u8 trap_entries[], guarded_end[], level_4[];

void guarded_call(void (*fn)(struct cpu *c), struct cpu *c, volatile u64 *kept_rsp);
void trap(struct trap_frame *f);

struct pointer {
	u16 limit;
	u64 base;
} __attribute__((packed));

static void load_tables(struct cpu *c)
{
	const struct pointer g = { sizeof(c->gdt) - 1, (u64)c->gdt },
			     i = { sizeof(idt) - 1, (u64)idt };

	__asm__ volatile("lgdt %0; lidt %1" ::"m"(g), "m"(i));
}

/* What a step may have changed, back to where start.asm had it. CR3 first: the rest is reached by it. */
static void mend(struct cpu *c)
{
	__asm__ volatile("mov %0, %%cr3" ::"r"(level_4) : "memory");
	load_tables(c);
	if (!c->dirty)
		return;
	c->dirty = false;
	__asm__ volatile("mov %0, %%cr4" ::"r"(0x620UL)); /* PAE, OSFXSR, OSXMMEXCPT */
	__asm__ volatile("mov %0, %%cr0" ::"r"(0x80010033UL)); /* PG, WP, NE, ET, MP, PE */
	__asm__ volatile("mov %0, %%dr7" ::"r"(0x400UL));
	wrmsr(0xc0000080, 0xd01); /* NXE, LMA, LME, SCE */
	wrmsr(0x1b, 0xfee00c00 | (c->id ? 0 : 0x100));
	wrmsr(X2APIC(APIC_SVR), 0x1ff);
	wrmsr(X2APIC(APIC_TPR), 0);
}

static void recover(struct cpu *c, struct trap_frame *f)
{
	mend(c);
	f->rip = (u64)guarded_end;
	f->cs = SELECTOR_CODE_64;
	f->rflags = 2;
	f->rsp = c->kept_rsp;
	f->ss = SELECTOR_DATA;
}

void trap(struct trap_frame *f)
{
	struct cpu *c = &cpus[((u64)f - (u64)cpus) / sizeof(cpus[0])];

	if (f->vector >= 32) {
		wrmsr(X2APIC(APIC_EOI), 0);
		return;
	}
	/* Another vCPU sends this when it sees no steps; between two steps there is nothing to end. */
	if (f->vector == 2 && (c->steps != c->steps_at_nmi || !c->kept_rsp)) {
		c->steps_at_nmi = c->steps;
		return;
	}
	/* A breakpoint that the last step has set. */
	if (f->vector == 1 && !c->kept_rsp) {
		__asm__ volatile("mov %0, %%dr7" ::"r"(0x400UL));
		return;
	}
	if (!c->kept_rsp) {
		print("fuzz: exception %lu between steps, error 0x%lx, RIP 0x%lx\n", f->vector,
		      f->error, f->rip);
		for (;;)
			__asm__ volatile("cli; hlt");
	}
	recover(c, f);
}

void guarded(struct cpu *c, void (*fn)(struct cpu *c))
{
	guarded_call(fn, c, &c->kept_rsp);
	__asm__ volatile("cli; cld" ::: "memory");
	c->kept_rsp = 0;
	mend(c);
}

void traps_init(void)
{
	for (unsigned int v = 0; v < 256; v++) {
		u64 entry = (u64)trap_entries + 16 * v;

		idt[v] = (struct gate){ (u16)entry, SELECTOR_CODE_64, v == 2 ? IST_NMI : IST_EXCEPTION,
					/* INT from CPL 3 is allowed for some. */
					v % 16 == 3 ? 0xee : 0x8e, (u16)(entry >> 16),
					(u32)(entry >> 32), 0 };
	}
}

struct cpu *cpu_init(u32 id)
{
	struct cpu *c = &cpus[id];
	u64 tss = (u64)&c->tss;

	c->id = id;
	c->kept_rsp = 0;
	c->dirty = true;
	c->tss.ist[IST_EXCEPTION - 1] = (u64)(c->exception_stack + STACK);
	c->tss.ist[IST_NMI - 1] = (u64)(c->nmi_stack + STACK);
	c->tss.rsp[0] = (u64)(c->exception_stack + STACK);
	c->tss.io_map = sizeof(c->tss);
	c->gdt[1] = 0x00af9b000000ffff;
	c->gdt[2] = 0x00cf93000000ffff;
	c->gdt[3] = 0x00cf9b000000ffff;
	c->gdt[4] = 0x00009b000000ffff | (code_base_16() & 0xffffff) << 16;
	c->gdt[5] = 0x00cff3000000ffff;
	c->gdt[6] = 0x00affb000000ffff;
	c->gdt[7] = 0x0000890000000000 | (sizeof(c->tss) - 1) | (tss & 0xffffff) << 16 |
		    (tss >> 24 & 0xff) << 56;
	c->gdt[8] = tss >> 32;
	load_tables(c);
	__asm__ volatile("ltr %w0" ::"r"(7 * 8));
	mend(c);
	return c;
}
