/* The steps, in a random order, on all vCPUs. Command line, words: seed=N, steps=N (0: for ever),
 * rare=N (one in about N steps of a kind may do what can end the domain), only=NAME,NAME (these
 * kinds of steps), trace (each step's name before it is taken). */
#include <tests/guests/fuzz/fuzz.h>

#include <kernel/abi/hypercall.h>

u32 nr_cpus;
u64 memory_size;
u32 rare = 4096;
static u64 seed = 1, last_step;
static bool trace;

static const struct {
	const char *name;
	void (*run)(struct cpu *c);
	u32 weight;
} kinds[] = {
	{ "hypercall", step_hypercall, 8 },
	{ "memory", step_memory, 8 },
	{ "msr", step_msr, 8 },
	{ "cpuid", step_cpuid, 2 },
	{ "control", step_control_registers, 6 },
	{ "port", step_port, 8 },
	{ "pci", step_pci, 8 },
	{ "mmio", step_mmio, 16 },
	{ "tables", step_tables, 8 },
	{ "exception", step_exception, 6 },
	{ "privileged", step_privileged, 6 },
	{ "garbage", step_garbage, 8 },
	{ "interrupts", step_interrupts, 6 },
	{ "other-cpu", step_other_cpu, 2 },
	{ "sleep", step_sleep, 2 },
	{ "end", step_end, 1 },
	/* By name alone. */
	{ "shatter", step_shatter, 0 },
	{ "dma", step_dma, 0 },
	{ "bars", step_bars, 0 },
	{ "log", step_log, 0 },
};
static u32 weights[ARRAY_SIZE(kinds)], total;

/* Steele, Lea, Flood: SplitMix64. */
u64 random64(struct cpu *c)
{
	u64 z = c->random += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

u64 random_below(struct cpu *c, u64 n)
{
	return random64(c) % n;
}

u64 random_edge(struct cpu *c)
{
	u64 value = random64(c);

	switch (random_below(c, 5)) {
	case 0:
		return value % 17;
	case 1:
		return 1UL << value % 64;
	case 2:
		return (1UL << value % 64) - 1;
	case 3:
		return -(value % 17);
	default:
		return value;
	}
}

u64 random_address(struct cpu *c)
{
	/* The PCI window, I/O APIC, local APIC, HPET, remapping unit, ECAM, VGA, the end of RAM,
	 * above 4 GiB. */
	static const u64 bases[] = { 0xf0000000,  0xf0020000, 0xfebf0000,  0xfec00000,
				     MSI_ADDRESS, 0xfed00000, 0xfed90000,  0xb0000000,
				     0xa0000,	  0xfffff000, 0x100000000, 0xffffff000 };

	switch (random_below(c, 4)) {
	case 0:
		return SPARE + random_below(c, memory_size - SPARE);
	case 1:
		return memory_size - 32 + random_below(c, 64);
	default:
		return bases[random_below(c, ARRAY_SIZE(bases))] + (random_edge(c) & 0xfff);
	}
}

/* --- the loop ------------------------------------------------------------- */

static void do_step(struct cpu *c)
{
	u64 pick = random_below(c, total);
	u32 i = 0;

	while (pick >= weights[i])
		pick -= weights[i++];
	if (trace)
		print("fuzz: %u.%lu %s\n", c->id, c->steps, kinds[i].name);
	kinds[i].run(c);
}

static struct {
	u64 steps, since;
	bool hit;
} seen[MAX_CPUS][MAX_CPUS]; /* by each of the others */

/* A vCPU that does not go on is hit on the head, and started anew if that does not help. */
static void watch(struct cpu *c)
{
	u64 now = rdtsc_ordered(), second = tsc_khz * 1000;

	for (u32 id = 0; id < nr_cpus; id++) {
		u64 steps = cpus[id].steps, stood = now - seen[c->id][id].since;

		if (id == c->id || steps != seen[c->id][id].steps) {
			seen[c->id][id].steps = steps;
			seen[c->id][id].since = now;
			seen[c->id][id].hit = false;
		} else if (stood > 3 * second) {
			startup(id, TRAMPOLINE >> 12);
			seen[c->id][id].since = now;
		} else if (stood > second && !seen[c->id][id].hit && cpus[id].kept_rsp) {
			/* In real mode it would be the end. */
			wrmsr(X2APIC(APIC_ICR), ICR_TO(id) | ICR_NMI);
			seen[c->id][id].hit = true;
		}
	}
}

static void loop(void)
{
	struct cpu *c = cpu_init((u32)rdmsr(X2APIC(APIC_ID)));

	for (u32 id = 0; id < nr_cpus; id++)
		seen[c->id][id].since = rdtsc_ordered();
	for (;;) {
		c->steps++;
		if (last_step && c->steps > last_step)
			break;
		c->random = seed ^ (u64)c->id << 56 ^ c->steps << 8;
		(void)random64(c);
		guarded(c, do_step);
		if (!(c->steps % 32))
			guarded(c, watch);
		/* Seldom enough that a million steps make no more than some ten lines. */
		if (c->id == 0 && c->steps >= 1024 && !(c->steps & (c->steps - 1)))
			print("fuzz: seed %lu: %lu steps\n", seed, c->steps);
	}
	print("fuzz: seed %lu: done\n", seed);
	if (!c->id)
		hypercall(WEIR_HC_SHUTDOWN, 0, 0, 0);
	halt_forever();
}

/* On a stack of the vCPU's own: start.asm hands out its stacks in turn. */
__noreturn static void go(void)
{
	u32 id = (u32)rdmsr(X2APIC(APIC_ID));

	__asm__ volatile("mov %0, %%rsp; xor %%ebp, %%ebp; call *%1" ::"r"(cpus[id].stack +
									   sizeof(cpus[id].stack)),
			 "r"(loop)
			 : "memory");
	__builtin_unreachable();
}

void ap_main(void);
void ap_main(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_EXTD | APIC_BASE_ENABLE);
	go();
}

/* --- the command line ----------------------------------------------------- */

/* What follows `key` in a word of the line, or NULL. */
static const char *word(const char *line, const char *key)
{
	while (*line) {
		const char *k = key;

		while (*line == ' ')
			line++;
		while (*k && *line == *k)
			line++, k++;
		if (!*k)
			return line;
		while (*line && *line != ' ')
			line++;
	}
	return NULL;
}

static u64 number(const char *line, const char *key, u64 otherwise)
{
	const char *s = word(line, key);
	u64 n = 0;

	if (!s)
		return otherwise;
	for (; *s >= '0' && *s <= '9'; s++)
		n = 10 * n + (u64)(*s - '0');
	return n;
}

static bool has_name(const char *list, const char *name)
{
	while (*list && *list != ' ') {
		const char *n = name;

		while (*n && *list == *n)
			list++, n++;
		if (!*n && (!*list || *list == ' ' || *list == ','))
			return true;
		while (*list && *list != ' ' && *list++ != ',')
			;
	}
	return false;
}

static void choose(const char *only)
{
	for (u32 i = 0; i < ARRAY_SIZE(kinds); i++) {
		weights[i] = only ? has_name(only, kinds[i].name) : kinds[i].weight;
		total += weights[i];
	}
}

void main(u32 magic, u32 info);
void main(u32 magic, u32 info)
{
	extern const u8 trampoline[], trampoline_end[];
	const u32 *mbi = (const u32 *)(u64)info;
	const char *line = magic == 0x2badb002 && (mbi[0] & 4) ? (const char *)(u64)mbi[4] : "";

	/* Outside of Weir it would fuzz somebody else. */
	if (cpuid(WEIR_CPUID_BASE, 0).ebx != WEIR_CPUID_EBX)
		return;
	tsc_khz = cpuid(WEIR_CPUID_TIMING, 0).eax;
	memory_size = (u64)mbi[2] * 1024 + (1u << 20);
	nr_cpus = cpuid(0xb, 1).ebx;
	seed = number(line, "seed=", seed);
	last_step = number(line, "steps=", 0);
	rare = (u32)number(line, "rare=", rare);
	trace = word(line, "trace");
	choose(word(line, "only="));
	print("fuzz: seed %lu, %u vCPUs, %lu MiB\n", seed, nr_cpus, memory_size >> 20);
	traps_init();
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_EXTD | APIC_BASE_ENABLE);
	for (const u8 *s = trampoline, *d = (u8 *)TRAMPOLINE; s < trampoline_end; s++, d++)
		*(volatile u8 *)(u64)d = *s;
	wrmsr(X2APIC(APIC_SVR), SVR_ENABLE | 0xff);
	wrmsr(X2APIC(APIC_ICR), ICR_ALL_BUT_SELF | ICR_INIT | ICR_ASSERT);
	wrmsr(X2APIC(APIC_ICR), ICR_ALL_BUT_SELF | ICR_STARTUP | TRAMPOLINE >> 12);
	go();
}
