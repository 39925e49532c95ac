/* See kernel/core/gdt.h. */
#include <kernel/core/gdt.h>

#include <kernel/x86/segment.h>

void segments_load(struct segments *s)
{
	s->gdt[0] = 0;
	s->gdt[1] = GDT_CODE64;
	s->gdt[2] = GDT_DATA;
	for (u32 i = IST_NONE + 1; i < IST_COUNT; i++)
		s->tss.ist[i - 1] = (u64)(s->stack[i - 1] + IST_STACK_SIZE);
	s->tss.io_map_base = sizeof(s->tss);

	lgdt(s->gdt, sizeof(s->gdt));
	__asm__ volatile("push %0\n\t"
			 "lea 1f(%%rip), %%rax\n\t"
			 "push %%rax\n\t"
			 "lretq\n"
			 "1:\n\t"
			 "mov %1, %%eax\n\t"
			 "mov %%eax, %%ds\n\t"
			 "mov %%eax, %%es\n\t"
			 "mov %%eax, %%ss\n\t"
			 "xor %%eax, %%eax\n\t"
			 "mov %%eax, %%fs\n\t"
			 :
			 : "i"(SEL_CODE), "i"(SEL_DATA)
			 : "rax", "memory");
	set_tss_descriptor(&s->gdt[3], &s->tss);
	ltr(SEL_TSS);
}
