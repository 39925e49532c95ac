/* Interrupts to this and other vCPUs, INIT and SIPI, sleep; and the ways to end the guest. */
#include <tests/guests/fuzz/fuzz.h>

#include <kernel/abi/hypercall.h>

static const u8 registers[] = {
	APIC_TPR,	APIC_EOI,	APIC_LDR,	    APIC_SVR,	       APIC_ESR,
	APIC_LVT_CMCI,	APIC_LVT_TIMER, APIC_LVT_THERMAL,   APIC_LVT_PERF,     APIC_LVT_LINT0,
	APIC_LVT_LINT1, APIC_LVT_ERROR, APIC_TIMER_INITIAL, APIC_TIMER_DIVIDE, APIC_SELF_IPI,
};

void step_interrupts(struct cpu *c)
{
	u64 value = one_in(c, 2) ? random_edge(c) : random64(c);

	c->dirty = true;
	if (one_in(c, 2))
		interrupts_on();
	for (u64 i = random_below(c, 8); i; i--) {
		u8 reg = registers[random_below(c, sizeof(registers))];

		wrmsr(X2APIC(reg), one_in(c, 8) ? value : value & 0xff);
		/* All delivery modes but INIT and SIPI, to all destinations. */
		if (one_in(c, 2))
			wrmsr(X2APIC(APIC_ICR), (random64(c) & 0xf000cb0ffUL) | random_below(c, 2)
											<< 10);
	}
	/* A storm: the shortest periods. */
	if (one_in(c, 8)) {
		wrmsr(X2APIC(APIC_TIMER_DIVIDE), DIVIDE_BY_1);
		wrmsr(X2APIC(APIC_LVT_TIMER), LVT_PERIODIC | (random64(c) & 0xff));
		wrmsr(X2APIC(APIC_TIMER_INITIAL), 1 + random_below(c, 16));
		spin_us(1000);
	}
	wrmsr(X2APIC(APIC_TIMER_INITIAL), 0);
	interrupts_window();
}

void startup(u32 id, u64 page)
{
	cpus[id].kept_rsp = 0;
	wrmsr(X2APIC(APIC_ICR), ICR_TO(id) | ICR_INIT | ICR_ASSERT);
	wrmsr(X2APIC(APIC_ICR), ICR_TO(id) | ICR_STARTUP | page);
}

/* Stop another vCPU at any point and restart it, sometimes at an address without code. */
void step_other_cpu(struct cpu *c)
{
	u32 id = (u32)random_below(c, nr_cpus);
	u64 command = random_below(c, 8) << 8 | random_below(c, 4) << 14 | random_below(c, 4) << 18;

	if (id == c->id || !one_in(c, 4))
		return;
	if (one_in(c, rare)) {
		startup(id, random_below(c, 256));
		spin_us(random_below(c, 300));
		wrmsr(X2APIC(APIC_ICR), ICR_TO(id) | command | random_below(c, 256));
	}
	startup(id, TRAMPOLINE >> 12);
}

void step_sleep(struct cpu *c)
{
	c->dirty = true;
	wrmsr(X2APIC(APIC_TIMER_DIVIDE), DIVIDE_BY_1);
	wrmsr(X2APIC(APIC_LVT_TIMER), 0x40);
	wrmsr(X2APIC(APIC_TIMER_INITIAL), 1 + random_below(c, 2000000));
	halt_until_interrupt();
}

void step_end(struct cpu *c)
{
	if (!one_in(c, 64 * (u64)rare))
		return;
	switch (random_below(c, 4)) {
	case 0:
		(void)hypercall(WEIR_HC_SHUTDOWN, random_below(c, 3), random64(c), 0);
		break;
	case 1:
		/* An empty IDT: a triple fault. */
		lidt(NULL, 1);
		__asm__ volatile("ud2");
		break;
	case 2:
		((void (*)(void))random_address(c))();
		break;
	default:
		/* CR3 points to random memory, or to none. */
		write_cr3(random_address(c) & 0xfffffff000UL);
		__asm__ volatile("int3");
	}
}
