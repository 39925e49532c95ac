/* See kernel/core/gdt.h. */
#include <kernel/core/gdt.h>

#include <kernel/core/paging.h>
#include <kernel/lib/errno.h>
#include <kernel/x86/segment.h>

#define IST_STACK_SIZE (IST_STACK_PAGES * PAGE_SIZE)

static struct {
	u8 guard[PAGE_SIZE];
	u8 stack[IST_STACK_SIZE];
} image_stack[IST_COUNT - 1] __aligned(PAGE_SIZE);

static const char *const stack_name[IST_COUNT] = {
	[IST_NMI] = "NMI",
	[IST_DOUBLE_FAULT] = "double-fault",
	[IST_MACHINE_CHECK] = "machine-check",
};

void segments_use_image_stacks(struct segments *s)
{
	for (u32 i = IST_NONE + 1; i < IST_COUNT; i++)
		s->tss.ist[i - 1] = (u64)(image_stack[i - 1].stack + IST_STACK_SIZE);
}

void segments_guard_image_stacks(void)
{
	for (u32 i = IST_NONE + 1; i < IST_COUNT; i++)
		paging_guard(image_stack[i - 1].guard);
}

int segments_map_stacks(struct segments *s)
{
	for (u32 i = IST_NONE + 1; i < IST_COUNT; i++) {
		s->tss.ist[i - 1] = (u64)paging_map_stack(IST_STACK_PAGES);
		if (!s->tss.ist[i - 1])
			return -ENOMEM;
	}
	return 0;
}

const char *segments_stack_above(const struct segments *s, const void *va)
{
	for (u32 i = IST_NONE + 1; i < IST_COUNT; i++) {
		u64 bottom = s->tss.ist[i - 1] - IST_STACK_SIZE;

		if ((u64)va < bottom && (u64)va >= bottom - PAGE_SIZE)
			return stack_name[i];
	}
	return NULL;
}

void segments_load(struct segments *s)
{
	s->gdt[0] = 0;
	s->gdt[1] = GDT_CODE64;
	s->gdt[2] = GDT_DATA;
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
