/* The emulator against the processor that runs the test: more than a million random instructions on
 * ordinary memory, in 64-bit, 32-bit and 16-bit code. Registers, the flags that the manual defines,
 * memory and exceptions must be the same.
 *
 * 32-bit and 16-bit code runs in 64-bit mode, with the prefixes that give the same sizes there:
 * processors allow no other, where the operating system offers no segments for it. So 16-bit
 * addresses and the bases of DS, ES, CS and SS are not compared here (tests/unit/test_decode.c has
 * the former), nor are FS, which belongs to the C library, 32-bit stacks, and what
 * kernel/guest/emulate/simd.c and paging do: tests/guests/test_emulate.c uses those.
 *
 * sources: kernel/guest/emulate/mmio.c kernel/guest/emulate/decode.c kernel/guest/emulate/opcodes.c
 * sources: kernel/guest/emulate/alu.c kernel/guest/emulate/execute.c kernel/guest/emulate/operand.c
 * sources: kernel/guest/emulate/stringinsn.c kernel/guest/emulate/address.c
 */
#define _GNU_SOURCE /* for REG_RIP */
#include <tests/unit/insn_random.h>
#include <tests/unit/native_run.h>

#include <kernel/guest/emulate/bus.h>
#include <kernel/guest/emulate/guestlinear.h>
#include <kernel/guest/emulate/guestwalk.h>
#include <kernel/guest/emulate/mmio.h>
#include <kernel/guest/emulate/simd.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/cpuidcommon.h>
#include <kernel/guest/vcpu/inject.h>
#include <kernel/lib/errno.h>
#include <kernel/x86/control.h>
#include <kernel/x86/exceptions.h>

#define STATUS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

static struct vm vm;
static struct vcpu v = { .vm = &vm };
static unsigned int bits; /* of the code */
static u64 base[6]; /* of segments */
static u8 insn_bytes[16];
static u8 ours[PAGE_SIZE]; /* what the emulator takes for the page at NATIVE_DATA */
static u64 xmm[16][2], mmx[8];
static u64 raised, fault_at; /* what the emulator raised; NATIVE_DONE: nothing */

/* --- what it calls -------------------------------------------------------- */

static void mode(const struct vcpu *vcpu, struct vcpu_mode *m)
{
	(void)vcpu;
	*m = (struct vcpu_mode){
		.efer = EFER_LMA,
		.cs_long = bits == 64,
		.cs_32 = bits == 32,
		.ss_32 = bits == 32,
		.cpl = 3,
	};
}

static u64 segment_base(const struct vcpu *vcpu, enum guest_segment s)
{
	(void)vcpu;
	return base[s];
}

static bool set_rip(struct vcpu *vcpu, u64 rip)
{
	vcpu->rip = rip;
	return false;
}

static bool has_breakpoints(const struct vcpu *vcpu)
{
	(void)vcpu;
	return false;
}

static void inject(struct vcpu *vcpu, u8 vector, s64 error)
{
	(void)vcpu;
	(void)error;
	raised = vector;
}

static const struct vcpu_backend backend = {
	.mode = mode,
	.segment_base = segment_base,
	.set_rip = set_rip,
	.has_breakpoints = has_breakpoints,
	.inject = inject,
};
const struct vcpu_backend *vcpu_backend = &backend;

void inject_gp(struct vcpu *vcpu)
{
	inject(vcpu, EXC_GP, 0);
}

void inject_pf(struct vcpu *vcpu, u64 address, u32 error)
{
	inject(vcpu, EXC_PF, error);
	fault_at = address;
}

struct cpuid cpuid_common(u32 leaf, u32 subleaf)
{
	return cpuid(leaf, subleaf);
}

unsigned int guest_fetch_all(struct guest_view *g, u8 bytes[15])
{
	(void)g;
	memcpy(bytes, insn_bytes, 15);
	return 15;
}

int guest_translate_as(struct vcpu *vcpu, u64 linear, u32 access, gpaddr_t *gpa, u32 *error)
{
	(void)vcpu;
	(void)linear;
	(void)access;
	(void)gpa;
	(void)error;
	fail_msg("no page of an instruction is missing");
	return -EFAULT;
}

int guest_translate(struct guest_view *g, u64 linear, bool write, gpaddr_t *gpa)
{
	(void)write;
	*gpa = linear;
	if (linear >= NATIVE_DATA && linear < NATIVE_DATA + PAGE_SIZE)
		return 0;
	inject_pf(g->v, linear, 0);
	return -EFAULT;
}

bool guest_is_ram(struct memory *m, gpaddr_t gpa)
{
	(void)m;
	(void)gpa;
	return false;
}

int guest_read(struct memory *m, gpaddr_t gpa, void *buf, size_t len)
{
	(void)m;
	(void)gpa;
	(void)buf;
	(void)len;
	return -EFAULT;
}

int guest_write(struct memory *m, gpaddr_t gpa, const void *buf, size_t len)
{
	return guest_read(m, gpa, (void *)buf, len);
}

int bus_read(struct bus *b, struct vcpu *vcpu, u64 addr, unsigned int size, u64 *value)
{
	(void)b;
	(void)vcpu;
	*value = 0;
	memcpy(value, ours + (addr - NATIVE_DATA), size);
	return 0;
}

int bus_write(struct bus *b, struct vcpu *vcpu, u64 addr, unsigned int size, u64 value)
{
	(void)b;
	(void)vcpu;
	memcpy(ours + (addr - NATIVE_DATA), &value, size);
	return 0;
}

void xmm_read(unsigned int n, u64 value[2])
{
	memcpy(value, xmm[n], 16);
}

void xmm_write(unsigned int n, const u64 value[2])
{
	memcpy(xmm[n], value, 16);
}

u64 mmx_read(unsigned int n)
{
	return mmx[n];
}

void mmx_write(unsigned int n, u64 value)
{
	mmx[n] = value;
}

bool x87_error_pending(void)
{
	return false;
}

/* --- random operands ------------------------------------------------------ */

static u64 random_value(void)
{
	static const u64 edges[] = { 0,		 1,	    0x7f,      0x80,	   0xff,
				     0x7fff,	 0x8000,    0xffff,    0x7fffffff, 0x80000000,
				     0xffffffff, 1UL << 63, ~0UL >> 1, ~0UL };
	u64 random = (u64)rand() << 62 ^ (u64)rand() << 31 ^ (u64)rand();

	return rand() % 3 ? random : edges[random_below(ARRAY_SIZE(edges))];
}

/* Somewhere in the page; often aligned, and sometimes across its end. */
static u64 random_address(void)
{
	u64 at = rand() % 16 ? 256 + random_below(PAGE_SIZE - 512) : random_below(PAGE_SIZE);

	return NATIVE_DATA + (rand() % 2 ? at & ~15UL : at);
}

static void set_low(unsigned int reg, unsigned int size, u64 value)
{
	u64 m = ~0UL >> (64 - 8 * size);

	v.reg[reg] = (v.reg[reg] & ~m) | (value & m);
}

static u64 random_offset(unsigned int segment)
{
	bool flat = bits == 64 && segment != SEG_GS;

	return random_address() - (flat ? 0 : base[segment]);
}

/* Let the memory operand be in the page, by its base, its index or its displacement. `modrm` is the
 * offset of the ModRM byte, or of an absolute address; 0 if unknown. */
static void place_operand(const struct insn *insn, unsigned int modrm)
{
	u64 left = random_offset(insn->segment) - (u64)insn->displacement;
	u64 index = insn->index == NO_REGISTER ? 0 : v.reg[insn->index];

	if (insn->base != NO_REGISTER && insn->base == insn->index) {
		set_low(insn->base, insn->address_size, left / (insn->scale + 1u));
	} else if (insn->base != NO_REGISTER) {
		left -= insn->op == INSN_POP && insn->base == RSP ? insn->mem_size : 0;
		set_low(insn->base, insn->address_size, left - index * insn->scale);
	} else if (insn->index != NO_REGISTER) {
		set_low(insn->index, insn->address_size, left / insn->scale);
	} else if (modrm) {
		bool has_modrm = insn->other != OTHER_ACCUMULATOR || insn->op != INSN_MOV;
		bool sib = insn->address_size > 2 && (insn_bytes[modrm] & 7) == 4;

		left += (u64)insn->displacement;
		left -= insn->rip_relative ? NATIVE_INSN + insn->length : 0;
		memcpy(insn_bytes + modrm + (has_modrm ? 1 + sib : 0), &left,
		       has_modrm ? MIN(insn->address_size, 4) : insn->address_size);
	}
}

static void random_operands(const struct insn *insn, unsigned int modrm)
{
	u64 memory;

	for (unsigned int i = 0; i < 16; i++) {
		v.reg[i] = bits == 64 ? random_value() : i < 8 ? (u32)random_value() : 0;
		xmm[i][0] = random_value();
		xmm[i][1] = random_value();
		mmx[i % 8] = random_value();
	}
	v.rflags = RFLAGS_RESERVED | RFLAGS_IF | ((u64)rand() & STATUS) |
		   (rand() % 4 ? 0 : RFLAGS_DF);
	if (insn->op >= INSN_BT && insn->op <= INSN_BTC && rand() % 8)
		set_low(insn->reg, insn->mem_size, (u64)rand() % 4000 - 2000);
	set_low(RSP, bits == 64 ? 8 : bits / 8, random_offset(SEG_SS));
	if (insn_is_string(insn)) {
		set_low(RSI, insn->address_size, random_offset(insn->segment));
		set_low(RDI, insn->address_size, random_offset(SEG_ES));
		set_low(RCX, insn->address_size, random_below(40));
		return;
	}
	place_operand(insn, modrm);
	/* Quotients that fit, and comparisons that are true. */
	if ((insn->op == INSN_DIV || insn->op == INSN_IDIV) && rand() % 4)
		v.reg[RDX] = insn->op == INSN_DIV ? random_below(3) : rand() % 2 ? 0 : ~0UL;
	if (insn->op == INSN_CMPXCHG || insn->op == INSN_CMPXCHG8B) {
		memcpy(&memory, ours + random_below(PAGE_SIZE - 8), 8);
		v.reg[RAX] = v.reg[RDX] = rand() % 2 ? 0 : memory;
	}
	if (bits != 64)
		for (unsigned int i = 0; i < 16; i++)
			v.reg[i] = (u32)v.reg[i];
}

/* --- the comparison ------------------------------------------------------- */

/* The flags that the manual defines after the instruction. */
static u64 defined_flags(const struct insn *insn, u64 rcx)
{
	unsigned int size = insn->mem_size;
	u8 count = (u8)((insn->by_cl ? rcx : insn->immediate) & (size == 8 ? 63 : 31));

	switch (insn->op) {
	case INSN_AND:
	case INSN_OR:
	case INSN_XOR:
	case INSN_TEST:
		return STATUS & ~RFLAGS_AF;
	case INSN_ROL:
	case INSN_ROR:
	case INSN_RCL:
	case INSN_RCR:
		return count > 1 ? STATUS & ~RFLAGS_OF : STATUS;
	case INSN_SHL:
	case INSN_SHR:
	case INSN_SAR:
	case INSN_SHLD:
	case INSN_SHRD:
		return count == 0	 ? STATUS :
		       count == 1	 ? STATUS & ~RFLAGS_AF :
		       count < 8u * size ? STATUS & ~(RFLAGS_AF | RFLAGS_OF) :
					   STATUS & ~(RFLAGS_AF | RFLAGS_OF | RFLAGS_CF);
	case INSN_MUL:
	case INSN_IMUL:
	case INSN_IMUL_2:
	case INSN_IMUL_3:
		return RFLAGS_CF | RFLAGS_OF;
	case INSN_DIV:
	case INSN_IDIV:
		return 0;
	case INSN_BSF:
	case INSN_BSR:
		return RFLAGS_ZF;
	case INSN_TZCNT:
	case INSN_LZCNT:
	case INSN_BT:
	case INSN_BTS:
	case INSN_BTR:
	case INSN_BTC:
		return RFLAGS_CF | RFLAGS_ZF;
	default:
		return STATUS;
	}
}

/* The manual leaves the result undefined. */
static bool is_undefined(const struct insn *insn)
{
	u8 count = (u8)((insn->by_cl ? v.reg[RCX] : insn->immediate) & 31);

	return (insn->op == INSN_SHLD || insn->op == INSN_SHRD) && insn->mem_size == 2 &&
	       count > 16;
}

static void emulate(void)
{
	u64 before;
	char why[160];

	raised = NATIVE_DONE;
	fault_at = 0;
	do {
		before = v.reg[RCX];
		assert_int_equal(mmio_emulate(&v, NATIVE_DATA, false, why, sizeof(why)), 0);
	} while (v.rip == NATIVE_INSN && raised == NATIVE_DONE && v.reg[RCX] != before);
}

static void to_processor(void)
{
	memcpy(native->reg, v.reg, sizeof(v.reg));
	memcpy(native->xmm, xmm, sizeof(xmm));
	memcpy(native->mmx, mmx, sizeof(mmx));
	native->rflags = v.rflags;
}

static void report(const struct insn *insn, const u64 before[16], const char *what)
{
	printf("%u bits, %s: operation %u, memory %u bytes:", bits, what, insn->op, insn->mem_size);
	for (unsigned int i = 0; i < insn->length; i++)
		printf(" %02x", insn_bytes[i]);
	printf("\nexception %lu (at 0x%lx), processor %lu\n"
	       "RIP 0x%lx; flags 0x%lx, processor 0x%lx\n",
	       raised, fault_at, native->vector, v.rip, v.rflags, native->rflags);
	for (unsigned int i = 0; i < 16; i++)
		printf("register %2u: before 0x%016lx, ours 0x%016lx, processor 0x%016lx%s\n", i,
		       before[i], v.reg[i], native->reg[i],
		       v.reg[i] == native->reg[i] ? "" : " <--");
	fail();
}

static void compare(const struct insn *insn, const u64 before[16])
{
	u64 mask = raised == NATIVE_DONE ? defined_flags(insn, before[RCX]) | RFLAGS_DF : RFLAGS_DF;
	bool memory_fault = native->vector == EXC_PF || native->vector == EXC_GP ||
			    native->vector == EXC_SS;

	/* The test's paging does not know addresses that are not canonical. */
	if (memory_fault ? raised != EXC_PF && raised != EXC_GP : raised != native->vector)
		report(insn, before, "exception");
	if (raised == NATIVE_DONE && v.rip != NATIVE_INSN + insn->length)
		report(insn, before, "RIP");
	if (memcmp(v.reg, native->reg, sizeof(v.reg)))
		report(insn, before, "registers");
	if ((v.rflags & mask) != (native->rflags & mask))
		report(insn, before, "flags");
	if (memcmp(xmm, native->xmm, sizeof(xmm)) || memcmp(mmx, native->mmx, sizeof(mmx)))
		report(insn, before, "XMM or MMX registers");
	if (memcmp(ours, (void *)NATIVE_DATA, PAGE_SIZE))
		report(insn, before, "memory");
}

/* The address is neither in the page nor near it: the processor could find something there. */
static bool is_elsewhere(void)
{
	return raised == EXC_PF && (fault_at < NATIVE_DATA - NATIVE_GUARD ||
				    fault_at >= NATIVE_DATA + PAGE_SIZE + NATIVE_GUARD);
}

static bool is_prefix(u8 byte)
{
	return (byte & 0xe7) == 0x26 || (byte >= 0x64 && byte <= 0x67) || byte == 0xf0 ||
	       byte == 0xf2 || byte == 0xf3;
}

/* The same instruction for 64-bit mode. Returns its length, or 0 if there is none. */
static unsigned int translate(const struct insn *insn, u8 code[2 + INSN_MAX_LENGTH])
{
	unsigned int at = 0, nr = 0;
	bool operand_size = false;
	struct insn same;

	if (bits == 64) {
		memcpy(code, insn_bytes, insn->length);
		return insn->length;
	}
	if (insn->address_size != 4)
		return 0;
	for (; is_prefix(insn_bytes[at]); at++) {
		if (insn_bytes[at] == 0x66)
			operand_size = true;
		else if (insn_bytes[at] >= 0xf0)
			code[nr++] = insn_bytes[at];
	}
	if (insn->segment == SEG_GS)
		code[nr++] = 0x65;
	if (operand_size != (bits == 16))
		code[nr++] = 0x66;
	code[nr++] = 0x67;
	memcpy(code + nr, insn_bytes + at, insn->length - at);
	nr += insn->length - at;
	/* Not if it is invalid there, as 82h is, or another one by its 66h prefix, or larger. */
	if (decode_insn(code, nr, 64, &same) || same.op != insn->op || same.rip_relative ||
	    same.mem_size != insn->mem_size || same.other != insn->other ||
	    same.reg_size != insn->reg_size || same.aligned != insn->aligned)
		return 0;
	return nr;
}

/* Returns the operation, or NR_INSN_OPS if there was none to run. */
static unsigned int one_instruction(void)
{
	u8 code[2 + INSN_MAX_LENGTH];
	unsigned int modrm = 0, length;
	struct insn insn;
	u64 before[16];

	for (unsigned int i = 0; i < sizeof(insn_bytes); i++)
		insn_bytes[i] = (u8)(rand() >> 8);
	if (rand() % 8)
		modrm = random_insn(insn_bytes, bits == 64);
	if (modrm && bits == 16) {
		memmove(insn_bytes + 1, insn_bytes, sizeof(insn_bytes) - 1);
		insn_bytes[0] = 0x67;
		modrm++;
	}
	if (decode_insn(insn_bytes, INSN_MAX_LENGTH, bits, &insn) || insn.segment == SEG_FS)
		return NR_INSN_OPS;
	random_operands(&insn, modrm);
	assert_int_equal(decode_insn(insn_bytes, INSN_MAX_LENGTH, bits, &insn), 0);
	length = translate(&insn, code);
	if (is_undefined(&insn) || !length)
		return NR_INSN_OPS;

	memcpy(before, v.reg, sizeof(before));
	v.rip = NATIVE_INSN;
	to_processor();
	emulate();
	if (is_elsewhere()) {
		/* A string instruction may have got some way. */
		memcpy((void *)NATIVE_DATA, ours, PAGE_SIZE);
		return NR_INSN_OPS;
	}
	native_run(code, length);
	compare(&insn, before);
	return raised == NATIVE_DONE ? insn.op : NR_INSN_OPS;
}

/* Half of the bytes are 0, so that comparisons of strings find some that are equal. */
static void fill_memory(void)
{
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		ours[i] = rand() % 2 ? 0 : (u8)(rand() >> 8);
	memcpy((void *)NATIVE_DATA, ours, PAGE_SIZE);
}

static void run(unsigned int code_bits, unsigned int executed)
{
	unsigned int seen[NR_INSN_OPS + 1] = { 0 };

	native_init();
	bits = code_bits;
	base[SEG_GS] = NATIVE_GS_BASE;
	assert_int_equal(syscall(SYS_arch_prctl, ARCH_SET_GS, NATIVE_GS_BASE), 0);
	for (unsigned int n = 0, tries = 0; n < executed; tries++) {
		unsigned int op;

		assert_true(tries < 20 * executed);
		if (tries % 4096 == 0)
			fill_memory();
		op = one_instruction();
		seen[op]++;
		n += op < NR_INSN_OPS;
	}
	/* The stack is not the same outside 64-bit mode. */
	for (unsigned int op = 0; op < NR_INSN_OPS; op++)
		if (seen[op] < executed / 2000 &&
		    (bits == 64 || (op != INSN_PUSH && op != INSN_POP)))
			fail_msg("operation %u was executed only %u times", op, seen[op]);
}

/* --- the tests ------------------------------------------------------------ */

static void test_64(void **state)
{
	(void)state;
	run(64, 600000);
}

static void test_32(void **state)
{
	(void)state;
	run(32, 300000);
}

static void test_16(void **state)
{
	(void)state;
	run(16, 300000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_64),
		cmocka_unit_test(test_32),
		cmocka_unit_test(test_16),
	};

	srand(test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
