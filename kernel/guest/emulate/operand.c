/* Locates, reads and writes a memory operand of an emulated instruction. */
#include <kernel/guest/emulate/operand.h>

#include <kernel/guest/emulate/bus.h>
#include <kernel/guest/emulate/guestlinear.h>
#include <kernel/guest/emulate/guestwalk.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>

int operand_locate(struct guest_view *g, u64 linear, unsigned int size, bool write,
		   struct operand *p)
{
	unsigned int in_page = (unsigned int)MIN(size, PAGE_SIZE - (linear & (PAGE_SIZE - 1)));

	p->nr = in_page < size ? 2 : 1;
	p->part[0].size = in_page;
	p->part[1].size = size - in_page;
	p->part[0].trapped = p->part[1].trapped = false;
	if (guest_translate(g, linear, write, &p->part[0].gpa))
		return -EFAULT;
	if (p->nr == 2) {
		u64 next = linear + in_page;

		if (!mode_is_64bit(&g->mode))
			next = (u32)next;
		if (guest_translate(g, next, write, &p->part[1].gpa))
			return -EFAULT;
	}
	return 0;
}

/* 1, 2, 4 or 8 bytes, without a call. */
static __always_inline void copy_value(void *to, const void *from, unsigned int size)
{
	switch (size) {
	case 1:
		__builtin_memcpy(to, from, 1);
		break;
	case 2:
		__builtin_memcpy(to, from, 2);
		break;
	case 4:
		__builtin_memcpy(to, from, 4);
		break;
	default:
		__builtin_memcpy(to, from, 8);
	}
}

/* One access on the memory bus, of 1, 2, 4 or 8 bytes. */
static __always_inline int access_register(struct vcpu *v, gpaddr_t gpa, unsigned int size,
					   bool write, u8 *bytes)
{
	u64 value = 0;
	int ret;

	if (write) {
		copy_value(&value, bytes, size);
		return bus_write(&v->vm->mmio, v, gpa, size, value);
	}
	ret = bus_read(&v->vm->mmio, v, gpa, size, &value);
	if (!ret)
		copy_value(bytes, &value, size);
	return ret;
}

/* Access a part on the memory bus. Sizes that are not a power of two are accessed byte by byte. */
static int access_bus(struct vcpu *v, gpaddr_t gpa, unsigned int size, bool write, u8 *bytes)
{
	unsigned int step = size & (size - 1) ? 1 : MIN(size, 8u);

	for (unsigned int i = 0; i < size; i += step) {
		int ret = access_register(v, gpa + i, step, write, bytes + i);

		if (ret)
			return ret;
	}
	return 0;
}

/* True: the part is RAM, and has been accessed. */
static bool access_ram(struct vcpu *v, gpaddr_t gpa, unsigned int size, bool write, u8 *bytes)
{
	return !(write ? guest_write(&v->vm->memory, gpa, bytes, size) :
			 guest_read(&v->vm->memory, gpa, bytes, size));
}

static __noinline int access_parts(struct vcpu *v, const struct operand *p, bool write, u8 *bytes)
{
	for (unsigned int i = 0; i < p->nr; i++) {
		gpaddr_t gpa = p->part[i].gpa;
		unsigned int size = p->part[i].size;
		int ret;

		if (p->part[i].trapped || !access_ram(v, gpa, size, write, bytes)) {
			ret = access_bus(v, gpa, size, write, bytes);
			if (ret)
				return ret;
		}
		bytes += size;
	}
	return 0;
}

/* Mostly the operand is one register of a device. */
static bool is_register(const struct operand *p)
{
	unsigned int size = p->part[0].size;

	return p->nr == 1 && p->part[0].trapped && size <= 8 && !(size & (size - 1));
}

static __always_inline int access_all(struct vcpu *v, const struct operand *p, bool write,
				      u8 *bytes)
{
	return is_register(p) ? access_register(v, p->part[0].gpa, p->part[0].size, write, bytes) :
				access_parts(v, p, write, bytes);
}

int operand_read(struct vcpu *v, const struct operand *p, void *bytes)
{
	return access_all(v, p, false, bytes);
}

int operand_write(struct vcpu *v, const struct operand *p, const void *bytes)
{
	return access_all(v, p, true, (u8 *)bytes);
}
