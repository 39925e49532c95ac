/* Exits by IN, OUT, INS and OUTS. */
#include <kernel/guest/exit/exitio.h>

#include <kernel/guest/domain/domain.h>
#include <kernel/guest/emulate/guestlinear.h>
#include <kernel/guest/exit/exit.h>
#include <kernel/lib/errno.h>
#include <kernel/x86/control.h>

static bool long_code(struct vcpu *v)
{
	struct vcpu_mode m;

	vcpu_backend->mode(v, &m);
	return (m.efer & EFER_LMA) && m.cs_long;
}

/* Set AL, AX or EAX. Writing EAX clears the upper half of RAX. */
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

static u64 register_mask(unsigned int address_size)
{
	return address_size == 2 ? 0xffff : address_size == 4 ? 0xffffffff : ~0UL;
}

static void add_to_register(struct vcpu *v, unsigned int reg, unsigned int address_size, u64 n)
{
	u64 mask = register_mask(address_size);
	u64 sum = (v->reg[reg] + n) & mask;

	/* A 16-bit result leaves the upper bits, a 32-bit one clears them. */
	v->reg[reg] = address_size == 2 ? (v->reg[reg] & ~mask) | sum : sum;
}

/* Transfer one element. -EFAULT, -EAGAIN: from the accesses; -ENODEV: *gpa is not RAM. */
static int move_element(struct vcpu *v, const struct string_io *io, u64 linear, gpaddr_t *gpa)
{
	u64 value = 0;
	int ret;

	if (io->in) {
		ret = bus_read(&v->vm->io, v, io->port, io->size, &value);
		return ret ? ret : guest_write_linear(v, linear, &value, io->size, gpa);
	}
	ret = guest_read_linear(v, linear, &value, io->size, gpa);
	return ret ? ret : bus_write(&v->vm->io, v, io->port, io->size, value);
}

void exit_string_io(struct vcpu *v, const struct string_io *io)
{
	u64 mask = register_mask(io->address_size);
	unsigned int index = io->in ? RDI : RSI;
	bool flat = long_code(v) && io->segment != SEG_FS && io->segment != SEG_GS;
	u64 base = flat ? 0 : vcpu_backend->segment_base(v, io->segment);
	u64 step = v->rflags & RFLAGS_DF ? -(u64)io->size : io->size;
	gpaddr_t gpa;

	v->exits[WEIR_EXIT_IO]++;
	if (!io->rep || (v->reg[RCX] & mask)) {
		int ret = move_element(v, io, (v->reg[index] & mask) + base, &gpa);

		if (ret == -EFAULT || ret == -EAGAIN)
			return;
		if (ret) {
			exit_log_state(v);
			domain_crash(vcpu_domain(v), "string I/O at 0x%lx, which is not RAM", gpa);
			return;
		}
		add_to_register(v, index, io->address_size, step);
		if (io->rep)
			add_to_register(v, RCX, io->address_size, ~0UL);
	}
	if (!io->rep || !(v->reg[RCX] & mask))
		vcpu_backend->set_rip(v, io->next_rip);
}
