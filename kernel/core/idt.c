/* The interrupt descriptor table, and what each vector leads to. */
#include <kernel/core/cpu.h>
#include <kernel/core/gdt.h>
#include <kernel/core/idt.h>
#include <kernel/core/irq.h>
#include <kernel/core/irqhandle.h>
#include <kernel/core/panic.h>
#include <kernel/core/panictrap.h>

/* SDM vol. 3, 6.14.1. */
struct idt_gate {
	u16 offset_low;
	u16 selector;
	u8 ist;
	u8 type;
	u16 offset_mid;
	u32 offset_high;
	u32 reserved;
};
_Static_assert(sizeof(struct idt_gate) == 16, "SDM vol. 3, 6.14.1");

#define GATE_INTERRUPT 0x8e
#define STUB_SIZE 16
#define NR_EXCEPTIONS 32

extern const u8 trap_stubs[256 * STUB_SIZE];

/* kernel/x86/msr_safe.asm: the instructions that may fault, and where to go on then. */
extern const u8 rdmsr_safe_insn[], rdmsr_safe_fault[], wrmsr_safe_insn[], wrmsr_safe_fault[];

static struct idt_gate idt[256];

void idt_load(void)
{
	struct {
		u16 limit;
		u64 base;
	} __packed idtr = { sizeof(idt) - 1, (u64)idt };

	if (!idt[0].type) {
		for (u32 v = 0; v < 256; v++) {
			u64 stub = (u64)(trap_stubs + v * STUB_SIZE);

			idt[v] = (struct idt_gate){
				.offset_low = (u16)stub,
				.selector = SEL_CODE,
				.type = GATE_INTERRUPT,
				.offset_mid = (u16)(stub >> 16),
				.offset_high = (u32)(stub >> 32),
			};
		}
		idt[EXC_NMI].ist = IST_NMI;
		idt[EXC_DOUBLE_FAULT].ist = IST_DOUBLE_FAULT;
		idt[EXC_MACHINE_CHECK].ist = IST_MACHINE_CHECK;
	}
	__asm__ volatile("lidt %0" ::"m"(idtr));
}

static bool fix_up(struct trap_frame *f)
{
	static const struct {
		const u8 *insn, *fault;
	} fixups[] = {
		{ rdmsr_safe_insn, rdmsr_safe_fault },
		{ wrmsr_safe_insn, wrmsr_safe_fault },
	};

	for (u32 i = 0; i < ARRAY_SIZE(fixups); i++)
		if (f->rip == (u64)fixups[i].insn) {
			f->rip = (u64)fixups[i].fault;
			return true;
		}
	return false;
}

void trap(struct trap_frame *f);
void trap(struct trap_frame *f)
{
	if (f->vector >= NR_EXCEPTIONS)
		irq_handle((int)f->vector);
	else if (f->vector == EXC_NMI)
		panic_nmi();
	else if (!fix_up(f))
		panic_trap(f);
}
