/* Locates, reads and writes a memory operand of an emulated instruction. */
#include <kernel/guest/emulate/operand.h>

#include <kernel/guest/emulate/bus.h>
#include <kernel/guest/emulate/guestlinear.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/lib/errno.h>

static u64 mask(unsigned int bytes)
{
	return ~0UL >> (64 - 8 * bytes);
}

int operand_locate(struct vcpu *v, u64 linear, unsigned int size, bool write, struct operand *p)
{
	unsigned int in_page = (unsigned int)MIN(size, PAGE_SIZE - (linear & (PAGE_SIZE - 1)));

	p->nr = in_page < size ? 2 : 1;
	p->part[0].size = in_page;
	p->part[1].size = size - in_page;
	if (guest_translate(v, linear, write, &p->part[0].gpa))
		return -EFAULT;
	if (p->nr == 2 && guest_translate(v, linear + in_page, write, &p->part[1].gpa))
		return -EFAULT;
	return 0;
}

/* Access one part: RAM if there is any, otherwise the memory bus. Sizes that are not a power of two
 * are accessed byte by byte. */
static int access_part(struct vcpu *v, gpaddr_t gpa, unsigned int size, bool write, u64 *value)
{
	struct bus *bus = &v->vm->mmio;
	unsigned int step = size & (size - 1) ? 1 : size;
	u64 out = 0;
	int ret;

	if (write ? !guest_write(&v->vm->memory, gpa, value, size) :
		    !guest_read(&v->vm->memory, gpa, value, size))
		return 0;
	for (unsigned int i = 0; i < size; i += step) {
		u64 piece = *value >> 8 * i & mask(step);

		ret = write ? bus_write(bus, v, gpa + i, step, piece) :
			      bus_read(bus, v, gpa + i, step, &piece);
		if (ret)
			return ret;
		out |= (piece & mask(step)) << 8 * i;
	}
	if (!write)
		*value = out;
	return 0;
}

int operand_access(struct vcpu *v, const struct operand *p, bool write, u64 *value)
{
	unsigned int shift = 0;
	u64 whole = 0;

	for (unsigned int i = 0; i < p->nr; i++) {
		u64 part = write ? *value >> shift : 0;
		int ret = access_part(v, p->part[i].gpa, p->part[i].size, write, &part);

		if (ret)
			return ret;
		whole |= part << shift;
		shift += 8 * p->part[i].size;
	}
	if (!write)
		*value = whole;
	return 0;
}
