/* Malformed page tables: entries of all kinds, tables that contain themselves, reserved bits. All
 * vCPUs share them, so they change while an access through them is emulated. */
#include <tests/guests/fuzz/fuzz.h>

#include <kernel/x86/pagetable.h>

extern const u64 level_4[512];

/* The level 4 table, one of level 3, two of level 2, one of level 1. */
static u64 tables[5][512] __aligned(PAGE_SIZE);

static u64 entry(struct cpu *c)
{
	u64 e = (u64)tables[random_below(c, 5)];

	/* A table at an address without memory ends the domain; a leaf may have any address. */
	if (one_in(c, 2))
		e = (random_address(c) & ~0xfffUL) | (one_in(c, 8 * (u64)rare) ? 0 : PTE_PS);
	e |= random64(c) & 0xe7f;
	if (!one_in(c, 4))
		e |= PTE_P | PTE_W | PTE_U;
	if (one_in(c, 8))
		e |= 1UL << (52 + random_below(c, 12));
	if (one_in(c, 16))
		e |= 1UL << (40 + random_below(c, 12));
	return e;
}

/* Restore the mappings that start.asm made, with these tables. step_tables() rarely changes those
 * of the lowest four 2 MiB pages, which this guest uses. */
static void renew(void)
{
	const u64 *level_3 = (const u64 *)(level_4[0] & ~0xfffUL),
		  *level_2 = (const u64 *)(level_3[0] & ~0xfffUL);

	for (u32 i = 0; i < 512; i++) {
		tables[0][i] = level_4[i];
		tables[1][i] = level_3[i];
		tables[2][i] = level_2[i];
		tables[3][i] = level_2[i];
		tables[4][i] = (u64)i << 12 | PTE_P | PTE_W | PTE_U;
	}
	tables[0][0] = (u64)tables[1] | PTE_P | PTE_W | PTE_U;
	tables[1][0] = (u64)tables[2] | PTE_P | PTE_W | PTE_U;
}

static void touch(struct cpu *c)
{
	u64 address = random_below(c, 4) << 30 | random_below(c, 16) << 21 |
		      random_below(c, 1UL << 21);

	if (one_in(c, 4))
		address |= random_below(c, 512) << 39;
	if (address >> 47)
		address |= 0xffffUL << 48;
	switch (random_below(c, 5)) {
	case 0:
		*(volatile u64 *)address = random64(c);
		break;
	case 1:
		(*(volatile u32 *)address)++;
		break;
	case 2:
		invlpg(address);
		break;
	case 3:
		/* Rarely, because the code there may never end. */
		if (one_in(c, rare))
			((void (*)(void))address)();
		break;
	default:
		(void)*(volatile u8 *)address;
	}
}

void step_tables(struct cpu *c)
{
	u64 changes = random_below(c, 8);

	if (!tables[0][0] || one_in(c, 8))
		renew();
	for (u64 i = 0; i < changes; i++) {
		u64 t = random_below(c, 5), slot = random_below(c, one_in(c, 2) ? 16 : 512);
		bool own = t < 2 ? slot == 0 : t == 2 && slot < 4;

		if (!own || one_in(c, 16 * (u64)rare))
			tables[t][slot] = entry(c);
	}
	write_cr3((u64)tables[0] | (one_in(c, 8) ? PTE_UNCACHED : 0));
	for (u64 i = random_below(c, 8); i; i--)
		touch(c);
	/* Emulate an instruction, including its fetch, with these tables. */
	if (one_in(c, 2))
		step_mmio(c);
}
