/* Exceptions that a check has provoked, and interrupts counted. */
#include <tests/guests/guest.h>

#include <kernel/abi/hypercall.h>

volatile struct caught caught;
volatile u32 taken[256];
volatile u8 order[16];
volatile u32 order_at;
volatile u32 keep_in_service;
volatile u32 taken_while_off;
volatile u32 linger;
volatile u8 eoi_flag __attribute__((aligned(4)));
volatile u32 eois_by_flag;

struct gate {
	u16 offset_low, selector, flags, offset_middle;
	u32 offset_high, reserved;
};
static struct gate idt[256] __attribute__((aligned(16)));
extern const u8 trap_entries[];

static void end_of_interrupt(void)
{
	if (eoi_flag & 1) {
		eoi_flag = 0;
		eois_by_flag++;
	} else {
		wrmsr(X2APIC(APIC_EOI), 0);
	}
}

void trap(struct trap_frame *f);
void trap(struct trap_frame *f)
{
	if (f->vector < 32 && f->vector != 2) {
		caught.vector = f->vector;
		caught.error = f->error;
		caught.rip = f->rip;
		__asm__("mov %%cr2, %0" : "=r"(caught.cr2));
		__asm__("mov %%db6, %0" : "=r"(caught.dr6));
		f->rflags &= ~0x100UL; /* one single step is enough */
		if (caught.resume) {
			f->rip = caught.resume;
			return;
		}
		if (f->vector == 3 || f->vector == 4 || f->vector == 1)
			return;
		print("FAIL unexpected exception %lu, error 0x%lx, RIP 0x%lx, CR2 0x%lx\n",
		      f->vector, f->error, f->rip, caught.cr2);
		hypercall(WEIR_HC_SHUTDOWN, 2, 1, 0);
		for (;;)
			__asm__ volatile("cli; hlt");
	}
	__atomic_fetch_add(&taken[f->vector], 1, __ATOMIC_SEQ_CST);
	if (f->vector >= 32 && !(f->rflags & 0x200))
		__atomic_fetch_add(&taken_while_off, 1, __ATOMIC_SEQ_CST);
	for (u32 i = linger; i; i--)
		__asm__ volatile("");
	order[order_at++ % ARRAY_SIZE(order)] = (u8)f->vector;
	if (f->vector != 2 && f->vector != 0x80 && f->vector != keep_in_service)
		end_of_interrupt();
}

void traps_load(void)
{
	const struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) pointer = { sizeof(idt) - 1, (u64)idt };

	__asm__ volatile("lidt %0" ::"m"(pointer));
}

void traps_init(void)
{
	for (unsigned int v = 0; v < 256; v++) {
		u64 entry = (u64)trap_entries + 16 * v;

		idt[v] = (struct gate){ (u16)entry,	    8, 0x8e00, (u16)(entry >> 16),
					(u32)(entry >> 32), 0 };
	}
	traps_load();
}
