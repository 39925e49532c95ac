/* Exits by IN, OUT, INS and OUTS. */
#include <kernel/guest/exit/exitio.h>

#include <kernel/guest/emulate/address.h>
#include <kernel/guest/emulate/guestwalk.h>
#include <kernel/guest/emulate/operand.h>
#include <kernel/x86/control.h>

/* Set AL, AX or EAX. Writing EAX clears the upper half of RAX. */
static void set_accumulator(struct vcpu *v, unsigned int size, u64 value)
{
	u64 mask = size == 4 ? ~0UL : (1UL << (8 * size)) - 1;

	v->reg[RAX] = (v->reg[RAX] & ~mask) | (value & mask & 0xffffffff);
}

bool exit_io(struct vcpu *v, u32 port, u32 size, bool in)
{
	u64 value = v->reg[RAX] & (~0UL >> (64 - 8 * size));

	v->exits[WEIR_EXIT_IO]++;
	if (!in)
		return !bus_write(&v->vm->io, v, port, size, value);
	if (bus_read(&v->vm->io, v, port, size, &value))
		return false;
	set_accumulator(v, size, value);
	return true;
}

/* Transfer one element. The memory operand is located first, because reading the port may have side
 * effects on a device, which a page fault could not undo. */
static int move_element(struct guest_view *g, const struct string_io *io, u64 linear)
{
	struct vcpu *v = g->v;
	struct operand p;
	u64 value = 0;
	int ret = operand_locate(g, linear, io->size, io->in, &p);

	if (ret)
		return ret;
	if (io->in) {
		ret = bus_read(&v->vm->io, v, io->port, io->size, &value);
		return ret ? ret : operand_write(v, &p, &value);
	}
	ret = operand_read(v, &p, &value);
	return ret ? ret : bus_write(&v->vm->io, v, io->port, io->size, value);
}

void exit_string_io(struct vcpu *v, const struct string_io *io)
{
	unsigned int index = io->in ? RDI : RSI, width = io->address_size;
	u64 step = v->rflags & RFLAGS_DF ? -(u64)io->size : io->size;
	bool done = io->rep && !register_get(v, RCX, width, false), moved = !done;
	u64 linear = 0;

	v->exits[WEIR_EXIT_IO]++;
	if (!done) {
		u64 offset = register_get(v, index, width, false);
		struct guest_view g;

		guest_view(&g, v);
		linear = address_linear(v, mode_code_bits(&g.mode), io->segment, offset);
		if (move_element(&g, io, linear))
			return;
		register_add(v, index, width, step);
		if (io->rep)
			register_add(v, RCX, width, ~0UL);
		done = !io->rep || !register_get(v, RCX, width, false);
	}
	/* A trap comes after each repetition. */
	if (!vcpu_backend->set_rip(v, done ? io->next_rip : v->rip) || !moved)
		return;
	vcpu_backend->accessed(v, ACCESS_PORT, io->port, io->size);
	vcpu_backend->accessed(v, io->in ? ACCESS_WRITE : ACCESS_READ, linear, io->size);
}
