/* MSRs, CPUID, control and debug registers. */
#include <tests/guests/fuzz/fuzz.h>

void step_msr(struct cpu *c)
{
	static const u32 bases[] = { 0x0,	 0x10,	     0x1b,	 0x170,	     0x1d0,
				     0x200,	 0x277,	     0x400,	 0x6e0,	     0x800,
				     0x830,	 0xd90,	     0x40000000, 0xc0000080, 0xc0000100,
				     0xc0010000, 0xc0010110, 0xc0011020 };
	u32 msr = one_in(c, 8) ?
			  (u32)random_edge(c) :
			  bases[random_below(c, ARRAY_SIZE(bases))] + (u32)random_below(c, 16);
	u64 value = random_edge(c);

	if (one_in(c, 2)) {
		(void)rdmsr(msr);
		return;
	}
	/* step_other_cpu() sends INIT and SIPI. */
	if (msr == X2APIC(APIC_ICR) && !one_in(c, rare))
		value &= ~0x600UL;
	c->dirty = true;
	wrmsr(msr, value);
}

void step_cpuid(struct cpu *c)
{
	static const u32 bases[] = { 0, 0x40000000, 0x80000000, 0xc0000000 };
	u32 leaf = one_in(c, 8) ?
			   (u32)random64(c) :
			   bases[random_below(c, ARRAY_SIZE(bases))] + (u32)random_below(c, 32);

	(void)cpuid(leaf, (u32)random_edge(c));
}

static void write_debug_register(u64 number, u64 value)
{
	switch (number) {
	case 0:
		write_dr(0, value);
		break;
	case 1:
		write_dr(1, value);
		break;
	case 2:
		write_dr(6, value);
		break;
	default:
		write_dr(7, value);
	}
}

void step_control_registers(struct cpu *c)
{
	u64 value, bit = 1UL << random_below(c, 64);

	c->dirty = true;
	switch (random_below(c, 6)) {
	case 0:
		/* 64-bit code needs paging, so CR0.PG mostly stays set. */
		value = read_cr0() ^ bit;
		write_cr0(one_in(c, rare) ? value : value | CR0_PG | CR0_PE);
		break;
	case 1:
		value = read_cr4();
		/* QEMU accepts bits that a CPU would reject, and then cannot run the guest. */
		if ((bit & 0x107df) || one_in(c, rare))
			write_cr4(value ^ bit);
		break;
	case 2:
		write_cr8(random_edge(c));
		break;
	case 3:
		write_debug_register(random_below(c, 4), random_edge(c));
		break;
	case 4:
		write_cr2(random64(c));
		break;
	default:
		value = random_edge(c);
		__asm__ volatile("xsetbv" ::"c"((u32)(one_in(c, 4) ? random_edge(c) : 0)),
				 "a"((u32)value), "d"((u32)(value >> 32)));
	}
}
