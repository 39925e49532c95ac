#include <kernel/guest/exit/exit.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/exit/hypercall.h>

#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/guest/emulate/guestwalk.h>
#include <kernel/guest/emulate/mmio.h>
#include <kernel/guest/vcpu/policy.h>
#include <kernel/x86/control.h>

static bool long_code(struct vcpu *v)
{
	struct vcpu_mode m;

	vcpu_backend->mode(v, &m);
	return (m.efer & EFER_LMA) && m.cs_long;
}

static bool is_prefix(u8 byte, bool long_mode)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65: /* segments */
	case 0x66:
	case 0x67:
	case 0xf0:
	case 0xf2:
	case 0xf3:
		return true;
	default:
		return long_mode && (byte & 0xf0) == 0x40; /* REX */
	}
}

void skip_instruction(struct vcpu *v, unsigned int opcode_length)
{
	bool long_mode = long_code(v);
	unsigned int prefixes = 0, nr;
	u8 bytes[15];
	u64 rip;

	if (v->next_rip) {
		vcpu_backend->set_rip(v, v->next_rip);
		return;
	}
	nr = guest_fetch(v, bytes);
	while (prefixes < nr && is_prefix(bytes[prefixes], long_mode))
		prefixes++;
	rip = v->rip + prefixes + opcode_length;
	vcpu_backend->set_rip(v, long_mode ? rip : (u32)rip);
}

void exit_cpuid(struct vcpu *v)
{
	struct cpuid r;

	v->exits[WEIR_EXIT_CPUID]++;
	r = policy_cpuid(v, (u32)v->reg[RAX], (u32)v->reg[RCX]);
	v->reg[RAX] = r.eax;
	v->reg[RBX] = r.ebx;
	v->reg[RCX] = r.ecx;
	v->reg[RDX] = r.edx;
	skip_instruction(v, 2);
}

static void count_msr_exit(struct vcpu *v)
{
	v->exits[WEIR_EXIT_MSR]++;
	v->msr_exits[vlapic_msr_exit((u32)v->reg[RCX])]++;
}

void exit_rdmsr(struct vcpu *v)
{
	u64 value;

	count_msr_exit(v);
	if (policy_rdmsr(v, (u32)v->reg[RCX], &value)) {
		inject_gp(v);
		return;
	}
	v->reg[RAX] = (u32)value;
	v->reg[RDX] = value >> 32;
	skip_instruction(v, 2);
}

void exit_wrmsr(struct vcpu *v)
{
	count_msr_exit(v);
	if (policy_wrmsr(v, (u32)v->reg[RCX], v->reg[RDX] << 32 | (u32)v->reg[RAX])) {
		inject_gp(v);
		return;
	}
	skip_instruction(v, 2);
}

void exit_write_cr8(struct vcpu *v)
{
	bool long_mode = long_code(v);
	u8 bytes[15], rex = 0;
	unsigned int nr = guest_fetch(v, bytes), at = 0;
	u64 value;

	v->exits[WEIR_EXIT_OTHER]++;
	for (; at < nr && is_prefix(bytes[at], long_mode); at++)
		rex = long_mode && (bytes[at] & 0xf0) == 0x40 ? bytes[at] : 0;
	/* Something else stands there now: another vCPU has changed the code. Executing it again
	 * tells. */
	if (at + 3 > nr || bytes[at] != 0x0f || bytes[at + 1] != 0x22)
		return;
	value = v->reg[(bytes[at + 2] & 7) | (rex & 1 ? 8 : 0)];
	if (value > 0xf) {
		inject_gp(v);
		return;
	}
	vlapic_set_cr8(v, (u8)value);
	skip_instruction(v, 3);
}

void exit_xsetbv(struct vcpu *v)
{
	u64 value = v->reg[RDX] << 32 | (u32)v->reg[RAX];
	struct vcpu_mode m;

	v->exits[WEIR_EXIT_OTHER]++;
	vcpu_backend->mode(v, &m);
	/* SDM vol. 1, 13.3: x87 always, AVX only with SSE, nothing that was not offered. */
	if (m.cpl || (u32)v->reg[RCX] || !(value & XCR0_X87) || (value & ~policy_xcr0()) ||
	    (value & (XCR0_AVX | XCR0_SSE)) == XCR0_AVX) {
		inject_gp(v);
		return;
	}
	v->xcr0 = value;
	write_xcr0(value);
	skip_instruction(v, 3);
}

void exit_hlt(struct vcpu *v)
{
	v->exits[WEIR_EXIT_HLT]++;
	skip_instruction(v, 1);
	vcpu_halt(v);
}

void exit_hypercall(struct vcpu *v)
{
	v->exits[WEIR_EXIT_HYPERCALL]++;
	if (hypercall(v) != -EAGAIN)
		skip_instruction(v, 3);
}

void exit_cache_flush(struct vcpu *v)
{
	v->exits[WEIR_EXIT_OTHER]++;
	skip_instruction(v, 2);
}

/* The value of AL, AX or EAX: writing EAX clears the upper half of RAX. */
static void set_accumulator(struct vcpu *v, unsigned int size, u64 value)
{
	u64 mask = size == 4 ? ~0UL : (1UL << (8 * size)) - 1;

	v->reg[RAX] = (v->reg[RAX] & ~mask) | (value & mask & 0xffffffff);
}

void exit_io(struct vcpu *v, u16 port, unsigned int size, bool in, u64 next_rip)
{
	u64 value = v->reg[RAX] & (~0UL >> (64 - 8 * size));
	int ret;

	v->exits[WEIR_EXIT_IO]++;
	if (in)
		ret = bus_read(&v->vm->io, v, port, size, &value);
	else
		ret = bus_write(&v->vm->io, v, port, size, value);
	if (ret)
		return;
	if (in)
		set_accumulator(v, size, value);
	vcpu_backend->set_rip(v, next_rip);
}

/* OUTS may have a segment prefix, which not all hardware reports. */
static enum guest_segment outs_segment(struct vcpu *v)
{
	static const struct {
		u8 prefix;
		enum guest_segment segment;
	} table[] = { { 0x26, SEG_ES }, { 0x2e, SEG_CS }, { 0x36, SEG_SS },
		      { 0x3e, SEG_DS }, { 0x64, SEG_FS }, { 0x65, SEG_GS } };
	bool long_mode = long_code(v);
	enum guest_segment s = SEG_DS;
	u8 bytes[15];
	unsigned int nr = guest_fetch(v, bytes);

	for (unsigned int i = 0; i < nr && is_prefix(bytes[i], long_mode); i++)
		for (unsigned int k = 0; k < ARRAY_SIZE(table); k++)
			if (bytes[i] == table[k].prefix)
				s = table[k].segment;
	return s;
}

static void add_to_register(struct vcpu *v, unsigned int reg, unsigned int address_size, u64 n)
{
	u64 mask = address_size == 2 ? 0xffff : address_size == 4 ? 0xffffffff : ~0UL;
	u64 sum = (v->reg[reg] + n) & mask;

	/* A 16-bit result leaves the upper bits, a 32-bit one clears them. */
	v->reg[reg] = address_size == 2 ? (v->reg[reg] & ~mask) | sum : sum;
}

void exit_string_io(struct vcpu *v, u16 port, unsigned int size, bool in, bool rep,
		    unsigned int address_size, u64 next_rip)
{
	u64 mask = address_size == 2 ? 0xffff : address_size == 4 ? 0xffffffff : ~0UL;
	unsigned int index = in ? RDI : RSI;
	enum guest_segment s = in ? SEG_ES : outs_segment(v);
	bool flat = long_code(v) && s != SEG_FS && s != SEG_GS;
	u64 linear = (v->reg[index] & mask) + (flat ? 0 : vcpu_backend->segment_base(v, s));
	u64 value = 0;
	gpaddr_t gpa;
	int ret;

	v->exits[WEIR_EXIT_IO]++;
	if (!rep || (v->reg[RCX] & mask)) {
		if (!in) {
			ret = guest_read_linear(v, linear, &value, size, &gpa);
			if (!ret)
				ret = bus_write(&v->vm->io, v, port, size, value);
		} else {
			ret = bus_read(&v->vm->io, v, port, size, &value);
			if (!ret)
				ret = guest_write_linear(v, linear, &value, size, &gpa);
		}
		if (ret == -EFAULT || ret == -EAGAIN)
			return;
		if (ret) {
			domain_crash(vcpu_domain(v),
				     "string I/O with memory at 0x%lx, where no RAM is", gpa);
			return;
		}
		add_to_register(v, index, address_size, v->rflags & RFLAGS_DF ? -(u64)size : size);
		if (rep)
			add_to_register(v, RCX, address_size, ~0UL);
	}
	if (!rep || !(v->reg[RCX] & mask))
		vcpu_backend->set_rip(v, next_rip);
}

void exit_nested_fault(struct vcpu *v, const struct nested_fault *f)
{
	char why[160];

	/* Its own instructions or page tables where no memory is: there is nothing to emulate. */
	if (f->fetch || f->table_walk) {
		v->exits[WEIR_EXIT_NESTED_FAULT]++;
		domain_crash(vcpu_domain(v), "vCPU %u: %s at 0x%lx, where it has no memory (RIP 0x%lx)",
			     v->id, f->fetch ? "instruction fetch" : "page table", f->gpa, v->rip);
		return;
	}
	v->exits[WEIR_EXIT_MMIO]++;
	if (mmio_emulate(v, f->gpa, why, sizeof(why)) == -EINVAL)
		domain_crash(vcpu_domain(v), "vCPU %u: %s of 0x%lx at RIP 0x%lx: %s", v->id,
			     f->write ? "write" : "read", f->gpa, v->rip, why);
}
