/* Interrupts, NMIs and exceptions, single steps and breakpoints: what comes, and between which two
 * instructions, in real mode, 32-bit and 64-bit mode, above all where Weir executes an instruction
 * itself. tests/guests/inject_cases.inc has the table of cases. */
#include <tests/guests/guest.h>

#include <kernel/x86/pagetable.h>
#include <kernel/x86/segment.h>

/* As in inject.asm. */
#define LOW 0x1000UL
#define UNMAPPED 0x50000000UL
#define NR_STUBS 32u
#define INTERRUPT 0x51u
#define NR_EVENTS 6u
#define ANYWHERE 0xffffffffu

enum mode { MODE_16, MODE_32, MODE_64, NR_MODES };

struct event {
	u32 vector, rip, error, rflags, dr6, cr2;
};

/* A record of the table: the events follow, then NONE. */
struct inject_case {
	u32 name, entry, end, only_weir;
};

struct expected {
	u32 vector, rip, error, extra;
};

extern u64 level_4[512];
extern const u8 inject_low[], inject_low_end[];
extern volatile struct event inject_events[];
extern volatile u32 inject_nr;
extern u32 inject_resume;
extern u64 inject_pae[4];
extern const u32 inject_16_cases[], inject_32_cases[], inject_64_cases[];
extern const u32 inject_16_stubs[], inject_32_stubs[], inject_64_stubs[];
extern const u8 inject_task_ud[], inject_task_df[], inject_task_gp[], inject_task_interrupt[];
extern const u32 inject_16_triple_fault, inject_32_triple_fault, inject_64_triple_fault;
void inject_run_16(u32 entry);
void inject_run_32(u32 entry);
void inject_run_64(u32 entry);

static const struct {
	unsigned int bits;
	const u32 *cases, *stubs, *triple_fault;
	void (*run)(u32 entry);
	u32 entry_size; /* of its interrupt table */
} modes[NR_MODES] = {
	{ 16, inject_16_cases, inject_16_stubs, &inject_16_triple_fault, inject_run_16, 4 },
	{ 32, inject_32_cases, inject_32_stubs, &inject_32_triple_fault, inject_run_32, 8 },
	{ 64, inject_64_cases, inject_64_stubs, &inject_64_triple_fault, inject_run_64, 16 },
};

/* --- tables --------------------------------------------------------------- */

/* SDM vol. 3, 8.2.1. */
struct tss32 {
	u32 link, stacks[6];
	u32 cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
	u32 es, cs, ss, ds, fs, gs, ldt, io_map;
};
_Static_assert(offsetof(struct tss32, eip) == 32, "tests/guests/inject.asm");
_Static_assert(sizeof(struct tss32) == 104, "SDM vol. 3, figure 8-2");

enum task { TASK_UD, TASK_DF, TASK_GP, TASK_INTERRUPT, NR_TASKS };

static const struct {
	u32 vector;
	const u8 *entry;
} tasks[NR_TASKS] = {
	[TASK_UD] = { EXC_UD, inject_task_ud },
	[TASK_DF] = { EXC_DF, inject_task_df },
	[TASK_GP] = { EXC_GP, inject_task_gp },
	[TASK_INTERRUPT] = { INTERRUPT, inject_task_interrupt },
};

#define CODE64 0x08
#define DATA 0x10
#define CODE32 0x18
#define TSS 0x30 /* the main task's; the others follow */
#define TASK_GATE (0x85UL << 40)
#define GATE32 (0x8eUL << 40)

struct tss32 inject_tss;
extern struct table_register inject_gdt_pointer;
extern struct table_register inject_idt[5];

static struct tss32 task_state[NR_TASKS];
static u32 task_stack[NR_TASKS][64];
static u64 gdt[TSS / 8 + 1 + NR_TASKS];
static u32 ivt[INTERRUPT + 1];
static u64 idt_32[INTERRUPT + 1], idt_32_tasks[INTERRUPT + 1];
static struct idt_gate idt_64[INTERRUPT + 1] __aligned(16);

static u64 tss_descriptor(const struct tss32 *tss)
{
	u64 at = (u64)tss;

	return GDT_TSS_AVAILABLE | (sizeof(*tss) - 1) | (at & 0xffffff) << 16 |
	       (at >> 24 & 0xff) << 56;
}

static u64 gate_32(u32 at)
{
	return GATE32 | (u64)CODE32 << 16 | (at & 0xffff) | (u64)(at >> 16) << 48;
}

/* Afresh for each case: it may have switched tasks. */
static void set_gdt(void)
{
	const u64 fixed[] = {
		0, GDT_CODE64, GDT_DATA, GDT_CODE32, GDT_CODE16, 0x93UL << 40 | 0xffff
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(fixed); i++)
		gdt[i] = fixed[i];
	/* The only field of the outgoing task's state that a switch does not write. */
	inject_tss.cr3 = (u32)(u64)inject_pae;
	gdt[TSS / 8] = tss_descriptor(&inject_tss);
	for (unsigned int i = 0; i < NR_TASKS; i++) {
		gdt[TSS / 8 + 1 + i] = tss_descriptor(&task_state[i]);
		task_state[i] = (struct tss32){
			.cr3 = (u32)(u64)inject_pae,
			.eip = (u32)(u64)tasks[i].entry,
			.eflags = RFLAGS_RESERVED,
			.esp = (u32)(u64)&task_stack[i + 1],
			.cs = CODE32,
			.ss = DATA,
			.ds = DATA,
			.es = DATA,
		};
	}
	inject_gdt_pointer = (struct table_register){ sizeof(gdt) - 1, (u64)gdt };
}

static void set_gates(unsigned int n, u32 vector)
{
	ivt[vector] = inject_16_stubs[n];
	idt_32[vector] = idt_32_tasks[vector] = gate_32(inject_32_stubs[n]);
	idt_64[vector] = interrupt_gate((void *)(u64)inject_64_stubs[n], CODE64, GATE_INTERRUPT, 0);
}

static void set_tables(void)
{
	const u64 *level_3 = (u64 *)(level_4[0] & ~(PAGE_SIZE - 1));

	for (const u8 *s = inject_low; s < inject_low_end; s++)
		*(volatile u8 *)(LOW + (u64)(s - inject_low)) = *s;
	for (unsigned int i = 0; i < NR_STUBS; i++)
		set_gates(i, i);
	set_gates(NR_STUBS, INTERRUPT);
	for (unsigned int i = 0; i < NR_TASKS; i++)
		idt_32_tasks[tasks[i].vector] = TASK_GATE | (u64)(TSS + 8 + 8 * i) << 16;
	/* The entries of PAE paging's top level have no rights. */
	for (unsigned int i = 0; i < ARRAY_SIZE(inject_pae); i++)
		inject_pae[i] = (level_3[i] & ~(PAGE_SIZE - 1)) | PTE_P;
}

static void point_to_tables(enum mode m)
{
	const void *const table[] = { ivt, idt_32, idt_64 };
	u32 size = modes[m].entry_size;

	inject_idt[0] = (struct table_register){ (u16)((INTERRUPT + 1) * size - 1), (u64)table[m] };
	inject_idt[1] = (struct table_register){ (u16)(EXC_GP * size - 1), (u64)table[m] };
	inject_idt[2] = (struct table_register){ 0, (u64)table[m] };
	inject_idt[3] = (struct table_register){ inject_idt[0].limit, (u64)idt_32_tasks };
	inject_idt[4] = (struct table_register){ inject_idt[1].limit, (u64)idt_32_tasks };
}

/* --- cases ---------------------------------------------------------------- */

/* APM vol. 2, 3.1.6: a fault sets RF in the flags that it pushes, and so does an exception within a
 * repeated instruction. QEMU sets it for interrupts, too. In real mode there are only 16 bits. */
static bool rf_matches(enum mode m, const struct expected *e, u32 rflags)
{
	bool rf = exception_is_fault(e->vector) || (e->vector == EXC_DB && e->extra & RFLAGS_RF);

	return m == MODE_16 || e->vector == EXC_DF || e->vector == EXC_NMI ||
	       e->vector >= NR_EXCEPTIONS || !(rflags & RFLAGS_RF) == !rf;
}

static bool matches(enum mode m, const struct expected *e, const volatile struct event *seen)
{
	const u64 causes = DR6_B | DR6_BD | DR6_BS;

	return seen->vector == e->vector && (e->rip == ANYWHERE || seen->rip == e->rip) &&
	       seen->error == (m == MODE_16 ? 0 : e->error) && rf_matches(m, e, seen->rflags) &&
	       (e->vector != EXC_DB || (seen->dr6 & causes) == (e->extra & causes)) &&
	       (e->vector != EXC_PF || seen->cr2 == e->extra);
}

static const char *name_of(enum mode m, const char *what)
{
	static char name[96];
	char *end = name;

	for (const char *s = "inject: "; *s; s++)
		*end++ = *s;
	*end++ = (char)('0' + modes[m].bits / 10);
	*end++ = (char)('0' + modes[m].bits % 10);
	for (const char *s = "-bit, "; *s; s++)
		*end++ = *s;
	for (; *what && end < name + sizeof(name) - 1; what++)
		*end++ = *what;
	*end = 0;
	return name;
}

static void run(enum mode m, const struct inject_case *c)
{
	u64 cr4 = read_cr4();

	inject_nr = 0;
	inject_resume = c->end;
	set_gdt();
	point_to_tables(m);
	/* XSETBV raises #UD, unless a case sets it. */
	write_cr4(cr4 & ~CR4_OSXSAVE);
	write_dr(6, DR6_RESET);
	modes[m].run(c->entry);
	write_dr(7, DR7_RESET);
	write_cr4(cr4);
	traps_load();
}

static void print_events(const struct inject_case *c)
{
	for (u32 i = 0; i < inject_nr; i++) {
		const volatile struct event *e = &inject_events[i];

		print("  vector %u at 0x%x (the case is 0x%x to 0x%x), error 0x%x, RFLAGS 0x%x, "
		      "DR6 0x%x, CR2 0x%x\n",
		      e->vector, e->rip, c->entry, c->end, e->error, e->rflags, e->dr6, e->cr2);
	}
}

/* Returns where the next record begins. */
static const u32 *check_case(enum mode m, const u32 *record)
{
	const struct inject_case *c = (const struct inject_case *)record;
	const struct expected *e = (const struct expected *)(c + 1);
	const bool skipped = c->only_weir && !under_weir;
	u32 nr = 0, wrong = 0;

	if (!skipped)
		run(m, c);
	for (; e->vector != NONE; e++, nr++)
		wrong += nr >= inject_nr || !matches(m, e, &inject_events[nr]);
	if (skipped)
		return &e->vector + 1;
	if (wrong || nr != inject_nr)
		print_events(c);
	CHECK_EQ(name_of(m, (const char *)(u64)c->name), inject_nr << 8 | wrong, nr << 8);
	return &e->vector + 1;
}

void test_inject(void)
{
	u64 *level_2 = (u64 *)(((u64 *)(level_4[0] & ~(PAGE_SIZE - 1)))[UNMAPPED >> 30] &
			       ~(PAGE_SIZE - 1));
	u64 *unmapped = &level_2[UNMAPPED >> 21 & 511], saved = *unmapped;

	interrupts_off();
	set_tables();
	*unmapped = 0;
	write_cr3(read_cr3());
	for (enum mode m = 0; m < NR_MODES; m++)
		for (const u32 *at = modes[m].cases; *at;)
			at = check_case(m, at);
	*unmapped = saved;
	write_cr3(read_cr3());
}

void test_triple_fault(unsigned int bits)
{
	enum mode m = MODE_16;

	while (modes[m].bits != bits)
		m++;
	set_tables();
	set_gdt();
	point_to_tables(m);
	modes[m].run(*modes[m].triple_fault);
	print("FAIL inject: no triple fault in %u-bit mode\n", bits);
}
