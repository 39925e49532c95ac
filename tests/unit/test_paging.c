/* sources: kernel/core/gdt.c kernel/core/pagingcheck.c kernel/lib/rangeset.c */
/* Weir's own page tables, on machines with any RAM, with the image anywhere in it. */
#include "test.h"

#include <kernel/core/gdt.h>
#include <kernel/core/image.h>
#include <kernel/core/paging.h>
#include <kernel/core/pagingcheck.h>
#include <kernel/lib/rangeset.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/bootmem.h>
#include <kernel/x86/control.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/pagetable.h>

/* --- a machine ------------------------------------------------------------ */

#define ARENA_PAGES 4096
#define ARENA_PA (1UL << 40) /* not part of the RAM that is tested */
#define PML4_PA (ARENA_PA - PAGE_SIZE)

static u8 arena[ARENA_PAGES][PAGE_SIZE] __aligned(PAGE_SIZE);
static u32 taken, may_take;
static bool pages_of_1g;
static u64 *root(void);

const u8 *_text_start, *_text_end, *_rodata_start, *_rodata_end, *_data_start, *_image_end;

void *alloc_page(void)
{
	if (taken == may_take)
		return NULL;
	return memset(arena[taken++], 0, PAGE_SIZE);
}

void *bootmem_pages(u64 nr)
{
	assert_int_equal(nr, 1);
	return alloc_page();
}

void *phys_to_virt(paddr_t pa)
{
	if (pa == PML4_PA)
		return root();
	assert_true(pa >= ARENA_PA && pa < ARENA_PA + sizeof(arena));
	return (u8 *)arena + (pa - ARENA_PA);
}

paddr_t virt_to_phys(const void *va)
{
	if (va == root())
		return PML4_PA;
	if ((u64)va >= IMAGE_BASE)
		return (u64)va - IMAGE_BASE;
	assert_true((u8 *)va >= (u8 *)arena && (u8 *)va < (u8 *)arena + sizeof(arena));
	return ARENA_PA + (u64)((u8 *)va - (u8 *)arena);
}

static struct cpuid test_cpuid(u32 leaf)
{
	return (struct cpuid){
		.edx = leaf == 0x80000001 && pages_of_1g ? (u32)CPUID80000001_EDX_PAGE1GB : 0,
	};
}

#define cpuid(leaf, subleaf) test_cpuid(leaf)
#define read_cr3() PML4_PA
#define write_cr3(value) ((void)(value))
#define invlpg(address) ((void)(address))
#include <kernel/core/paging.c>

static u64 *root(void)
{
	return pml4;
}

static struct range ram_ranges[8];
static struct rangeset ram;

static u64 up_to(u64 most)
{
	return 1 + (u64)rand() % most;
}

/* Some RAM, with the image in its first range. */
static void new_machine(void)
{
	u64 next = (u64)rand() % 3 ? 0 : up_to(600), image;
	const u8 **part[] = { &_text_start, &_text_end, &_rodata_end, &_data_start, &_image_end };

	memset(pml4, 0, sizeof(pml4));
	taken = 0;
	may_take = ARENA_PAGES;
	allocator_up = false;
	mmio_next = MMIO_BASE + PAGE_SIZE;
	stack_next = STACK_BASE;
	pages_of_1g = rand() % 2;
	image = next + (u64)rand() % 1500;
	for (u32 i = 0; i < ARRAY_SIZE(part); i++) {
		*part[i] = (const u8 *)(IMAGE_BASE + (image << PAGE_SHIFT));
		image += up_to(700);
	}
	_rodata_start = _text_end;
	_data_start = _rodata_end;
	rangeset_init(&ram, "RAM", ram_ranges, ARRAY_SIZE(ram_ranges));
	for (u32 i = 0; i < 4; i++) {
		u64 first = i ? next + (u64)rand() % 3000 : next;
		u64 nr = i ? up_to(rand() % 2 ? 600000 : 3000) : image - next + up_to(600000);

		assert_int_equal(rangeset_add(&ram, first, first + nr - 1), 0);
		next = first + nr;
	}
	paging_init(&ram);
}

/* What the tables say about an address: 0 if it is not mapped, or the frame's address with PTE_P,
 * PTE_W and PTE_NX. */
static u64 lookup(u64 va)
{
	const u64 *table = pml4;
	u64 rights = PTE_P | PTE_W;

	for (int shift = 39;; shift -= 9) {
		u64 e = table[va >> shift & 511], below = (1UL << shift) - 1;

		if (!(e & PTE_P))
			return 0;
		rights = (rights & (e | ~PTE_W)) | (e & PTE_NX);
		if (shift == PAGE_SHIFT || e & PTE_PS)
			return ((e & PTE_ADDRESS & ~below) | (va & below & PAGE_MASK)) | rights;
		table = phys_to_virt(e & PTE_ADDRESS);
	}
}

/* --- tests ---------------------------------------------------------------- */

/* The image has its rights, and the direct map never more. */
static void rights(void **state)
{
	(void)state;
	srand(test_seed());
	for (u32 n = 0; n < 60; n++) {
		new_machine();
		for (const u8 *p = _text_start; p < _image_end; p += PAGE_SIZE) {
			u64 w = p < _data_start ? 0 : PTE_W, x = p < _text_end ? 0 : PTE_NX;
			paddr_t pa = virt_to_phys(p);

			assert_int_equal(lookup((u64)p), pa | PTE_P | w | x);
			assert_int_equal(lookup(DIRECT_MAP_BASE + pa), pa | PTE_P | w | PTE_NX);
		}
		rangeset_for_each(r, &ram) {
			for (u32 i = 0; i < 2000; i++) {
				u64 mfn = i ? r->first + (u64)rand() % (r->last - r->first + 1) :
					      r->last;
				paddr_t pa = mfn << PAGE_SHIFT;

				if (pa >= virt_to_phys(_text_start) &&
				    pa < virt_to_phys(_rodata_end))
					continue;
				assert_int_equal(lookup(DIRECT_MAP_BASE + pa),
						 pa | PTE_P | PTE_W | PTE_NX);
			}
			assert_int_equal(lookup(DIRECT_MAP_BASE + ((r->last + 1) << PAGE_SHIFT)),
					 0);
		}
		assert_true(paging_check());
	}
}

/* The check that debug images make finds each frame that can be executed, and written by another
 * mapping or the same one. */
static void a_check_that_finds(void **state)
{
	u64 *e;

	(void)state;
	srand(test_seed());
	for (u32 n = 0; n < 60; n++) {
		u64 text;
		u32 level = 0;

		new_machine();
		text = (u64)(_text_end - _text_start) >> PAGE_SHIFT;
		text = (u64)_text_start + ((u64)rand() % text << PAGE_SHIFT);
		switch (n % 4) {
		case 0: /* a window onto it */
			assert_non_null(mmio_map(text - IMAGE_BASE, 1));
			break;
		case 1: /* a large one around it */
			assert_non_null(mmio_map(0, 1UL << 30));
			break;
		case 2: /* the mapping itself */
			e = entry_at(text, &level);
			*e |= PTE_W;
			break;
		case 3: /* data that can be executed */
			e = entry_at((u64)_data_start, &level);
			*e &= ~PTE_NX;
			break;
		}
		assert_false(paging_check());
	}
}

/* While a CPU starts, nobody can write to its first page where it is executed. */
static void first_page_of_a_cpu(void **state)
{
	(void)state;
	new_machine();
	assert_int_equal(paging_map_identity(0x9000), 0);
	assert_int_equal(lookup(0x9000), 0x9000 | PTE_P);
	paging_unmap_identity();
	assert_int_equal(lookup(0x9000), 0);
	assert_true(paging_check());
}

/* Stacks of any size are mapped one above the other; the page below each is a guard, and nothing
 * else is. */
static void guards(void **state)
{
	struct segments s = { 0 };
	u64 page;

	(void)state;
	srand(test_seed());
	for (u32 n = 0; n < 60; n++) {
		u32 nr[] = { (u32)up_to(9), (u32)up_to(9), (u32)up_to(9) };

		new_machine();
		paging_use_allocator();
		for (u32 i = 0; i < ARRAY_SIZE(nr); i++) {
			page = (u64)paging_map_stack(nr[i]) - PAGE_SIZE;
			for (u32 k = 0; k < nr[i]; k++, page -= PAGE_SIZE) {
				assert_true(lookup(page) & PTE_W && lookup(page) & PTE_NX);
				assert_false(paging_is_stack_guard((void *)page));
			}
			assert_int_equal(lookup(page), 0);
			assert_true(paging_is_stack_guard((void *)page));
			assert_true(paging_is_stack_guard((void *)(page + PAGE_SIZE - 1)));
			assert_null(segments_stack_above(&s, (void *)page));
		}
		page = (u64)_data_start;
		assert_false(paging_is_stack_guard((void *)page));
		paging_guard((void *)page);
		assert_int_equal(lookup(page), 0);
		assert_true(paging_is_stack_guard((void *)page));
		assert_false(paging_is_stack_guard((void *)(page - 1)));
		assert_false(paging_is_stack_guard((void *)STACK_BASE - 1));
		assert_false(paging_is_stack_guard((void *)stack_next));
		assert_false(paging_is_stack_guard(NULL));
	}
}

/* A CPU's interrupt stacks are guarded, and a guard names its stack. */
static void interrupt_stacks(void **state)
{
	static const char *const name[] = { "NMI", "double-fault", "machine-check" };
	struct segments s = { 0 };

	(void)state;
	new_machine();
	paging_use_allocator();
	assert_int_equal(segments_map_stacks(&s), 0);
	for (u32 i = 0; i < ARRAY_SIZE(name); i++) {
		u64 bottom = s.tss.ist[i] - IST_STACK_PAGES * PAGE_SIZE;

		for (u64 va = bottom; va < s.tss.ist[i]; va += PAGE_SIZE) {
			assert_true(lookup(va));
			assert_null(segments_stack_above(&s, (void *)va));
		}
		for (u64 va = bottom - PAGE_SIZE; va < bottom; va += 8) {
			assert_true(paging_is_stack_guard((void *)va));
			assert_string_equal(segments_stack_above(&s, (void *)va), name[i]);
		}
	}
	may_take = taken + IST_STACK_PAGES;
	assert_int_equal(segments_map_stacks(&s), -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rights),
		cmocka_unit_test(a_check_that_finds),
		cmocka_unit_test(first_page_of_a_cpu),
		cmocka_unit_test(guards),
		cmocka_unit_test(interrupt_stacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
