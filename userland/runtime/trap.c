/* Exceptions and interrupts. */
#include "cpu.h"
#include "runtime.h"

#define VECTOR_FIRST_DEVICE 0x40
#define VECTOR_LAST_DEVICE 0xef
#define NR_EXCEPTIONS 32

struct gate { /* SDM vol. 3, 6.14.1 */
	u16 offset_low, selector;
	u8 ist, type;
	u16 offset_mid;
	u32 offset_high, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "SDM vol. 3, 6.14.1");

#define GATE_INTERRUPT 0x8e /* present, DPL 0, 64-bit interrupt gate */
#define CODE_SELECTOR 0x08

extern const u64 trap_stubs[256];
void trap(const struct trap_frame *f);

static struct gate idt[256];
static struct {
	interrupt_handler handler;
	void *ctx;
} handlers[256];
static u8 next_vector = VECTOR_FIRST_DEVICE;

void trap_init(void)
{
	struct {
		u16 limit;
		u64 base;
	} __packed pointer = { sizeof(idt) - 1, (u64)idt };

	for (unsigned int i = 0; i < 256; i++) {
		u64 stub = trap_stubs[i];

		idt[i] = (struct gate){ (u16)stub,	   CODE_SELECTOR,     0, GATE_INTERRUPT,
					(u16)(stub >> 16), (u32)(stub >> 32), 0 };
	}
	__asm__ volatile("lidt %0" ::"m"(pointer));
}

u8 interrupt_allocate(interrupt_handler handler, void *ctx)
{
	if (next_vector > VECTOR_LAST_DEVICE)
		fatal("all interrupt vectors are taken");
	handlers[next_vector].ctx = ctx;
	handlers[next_vector].handler = handler;
	return next_vector++;
}

void trap(const struct trap_frame *f)
{
	u64 cr2;

	if (f->vector < NR_EXCEPTIONS) {
		__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
		fatal("exception %lu, error %lx, at rip %lx, rsp %lx, cr2 %lx, rax %lx, rdi %lx",
		      f->vector, f->error, f->rip, f->rsp, cr2, f->rax, f->rdi);
	}
	if (f->vector == VECTOR_SPURIOUS)
		return;
	if (handlers[f->vector].handler)
		handlers[f->vector].handler(handlers[f->vector].ctx);
	x2apic_end_of_interrupt();
}
