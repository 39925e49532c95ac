/* See kernel/core/gdt.h. */
#include <kernel/core/gdt.h>

struct table_pointer {
	u16 limit;
	u64 base;
} __packed;

#define GDT_CODE64 0x00af9b000000ffffUL
#define GDT_DATA 0x00cf93000000ffffUL
#define GDT_TSS_AVAILABLE (0x89UL << 40)

static void write_tss_descriptor(struct segments *s)
{
	u64 base = (u64)&s->tss;

	s->gdt[3] = GDT_TSS_AVAILABLE | (sizeof(s->tss) - 1) | (base & 0xffffff) << 16 |
		    (base >> 24 & 0xff) << 56;
	s->gdt[4] = base >> 32;
}

void segments_load(struct segments *s)
{
	struct table_pointer gdtr = { sizeof(s->gdt) - 1, (u64)s->gdt };

	s->gdt[0] = 0;
	s->gdt[1] = GDT_CODE64;
	s->gdt[2] = GDT_DATA;
	for (u32 i = IST_NONE + 1; i < IST_COUNT; i++)
		s->tss.ist[i - 1] = (u64)(s->stack[i - 1] + IST_STACK_SIZE);
	s->tss.io_map_base = sizeof(s->tss);

	__asm__ volatile("lgdt %0\n\t"
			 "push %1\n\t"
			 "lea 1f(%%rip), %%rax\n\t"
			 "push %%rax\n\t"
			 "lretq\n"
			 "1:\n\t"
			 "mov %2, %%eax\n\t"
			 "mov %%eax, %%ds\n\t"
			 "mov %%eax, %%es\n\t"
			 "mov %%eax, %%ss\n\t"
			 "xor %%eax, %%eax\n\t"
			 "mov %%eax, %%fs\n\t"
			 :
			 : "m"(gdtr), "i"(SEL_CODE), "i"(SEL_DATA)
			 : "rax", "memory");
	write_tss_descriptor(s);
	__asm__ volatile("ltr %w0" ::"r"(SEL_TSS) : "memory");
}
