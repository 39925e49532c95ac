/* A guest with a balloon and its memory in an array: the machine of the balloon tests. The stand-in
 * functions are defined here, so only one file of a program may include it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <drivers/pci.h>
#include <kernel/abi/virtio_regs.h>
#include <kernel/mm/alloc.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/populate.h>
#include <kernel/guest/memory/memrelease.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/memory/pool.h>
#include <kernel/lib/string.h>
#include <kernel/guest/devices/virtio/vballoon.h>
#include <kernel/guest/vcpu/vcpustate.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/guest/devices/pci/virq.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/devices/virtio/vvirtiopci.h>

#include <cmocka.h>

#define FRAMES 64u
#define BAR ((u32)(VPCI_WINDOW_END - 0x1000))

static u8 ram[FRAMES][PAGE_SIZE] __aligned(4096);
static bool has[FRAMES]; /* the frame holds memory */
static struct domain dom;
static struct vcpu vcpu;
static u64 machine_free;
static u32 parked, messages, last_data, bytes_copied;
static s64 move_says; /* the result of the next page moves, if not 0 */

static u8 *frame_at(u64 gpa)
{
	u64 gfn = gpa >> 12;

	return gfn < FRAMES && has[gfn] ? ram[gfn] : NULL;
}

static int copy(u64 gpa, void *buf, size_t len, bool write)
{
	assert_true(len <= 4096);
	bytes_copied += (u32)len;
	for (size_t i = 0; i < len; i++) {
		u8 *page = frame_at(gpa + i);

		if (!page)
			return -EFAULT;
		if (write)
			page[(gpa + i) & 4095] = ((u8 *)buf)[i];
		else
			((u8 *)buf)[i] = page[(gpa + i) & 4095];
	}
	return 0;
}

int guest_read(struct memory *m, gpaddr_t gpa, void *buf, size_t len)
{
	assert_ptr_equal(m, &dom.vm.memory);
	return copy(gpa, buf, len, false);
}

int guest_write(struct memory *m, gpaddr_t gpa, const void *buf, size_t len)
{
	assert_ptr_equal(m, &dom.vm.memory);
	return copy(gpa, (void *)(uintptr_t)buf, len, true);
}

int guest_cmpxchg(struct memory *m, gpaddr_t gpa, unsigned int size, u64 expected, u64 desired)
{
	u32 now;

	assert_int_equal(size, 4);
	assert_int_equal(gpa & 3, 0);
	if (guest_read(m, gpa, &now, 4))
		return -EFAULT;
	return now == expected ? guest_write(m, gpa, &desired, 4) : -EBUSY;
}

static s64 move(gfn_t gfn, u64 nr, bool to)
{
	u64 done;

	if (move_says)
		return move_says;
	assert_in_range(nr, 1, 64);
	if (gfn >= FRAMES || nr > FRAMES - gfn)
		return -EINVAL;
	for (done = 0; done < nr; done++) {
		if (has[gfn + done] == to)
			continue;
		if (to && !machine_free)
			return done ? (s64)done : -ENOMEM;
		machine_free += to ? -1UL : 1;
		dom.vm.memory.pages_owned += to ? 1 : -1UL;
		has[gfn + done] = to;
		memset(ram[gfn + done], 0, PAGE_SIZE);
	}
	return (s64)done;
}

s64 memory_release(struct memory *m, gfn_t gfn, u64 nr)
{
	assert_ptr_equal(m, &dom.vm.memory);
	return move(gfn, nr, false);
}

s64 memory_populate(struct memory *m, gfn_t gfn, u64 nr)
{
	assert_ptr_equal(m, &dom.vm.memory);
	return move(gfn, nr, true);
}

bool virq_send(const struct domain *d, u64 address, u32 data)
{
	assert_ptr_equal(d, &dom);
	(void)address;
	messages++;
	last_data = data;
	return true;
}

void vcpu_prepare_park(struct vcpu *v)
{
	assert_ptr_equal(v, &vcpu);
}

void vcpu_park(struct vcpu *v)
{
	assert_ptr_equal(v, &vcpu);
	parked++;
}

u64 alloc_free_frames(void)
{
	return machine_free + POOL_RESERVE;
}

bool pool_reclaim(u64 nr)
{
	(void)nr;
	return false;
}

void *kzalloc(size_t size)
{
	return calloc(1, size);
}

void kfree(void *p)
{
	free(p);
}

static void machine_start(void)
{
	memset(&dom, 0, sizeof(dom));
	bus_init(&dom.vm.mmio, dom.name, "memory");
	memset(ram, 0, sizeof(ram));
	memset(has, true, sizeof(has));
	dom.vm.memory.pages_owned = dom.vm.memory.pages_limit = FRAMES;
	machine_free = parked = messages = 0;
	move_says = 0;
	assert_int_equal(vballoon_init(&dom), 0);
}

static void machine_stop(void)
{
	u32 owned = 0;

	for (u32 i = 0; i < FRAMES; i++)
		owned += has[i];
	assert_int_equal(dom.vm.memory.pages_owned, owned);
	assert_int_equal(machine_free, FRAMES - owned);
	vballoon_free(&dom);
}

static u32 config_read(u8 offset)
{
	return vvirtiopci_read(dom.balloon, offset);
}

static void config_write(u8 offset, u32 value)
{
	vvirtiopci_write(dom.balloon, offset, value, ~0u);
}

static u64 bar_read(u64 address, unsigned int size)
{
	u64 value = ~0UL;

	assert_int_equal(bus_read(&dom.vm.mmio, &vcpu, address, size, &value), 0);
	return value;
}

/* Like the vCPU: calls again and again until the request is complete, at most `most` times. Returns
 * the number of calls. */
static u32 bar_write(u64 address, unsigned int size, u64 value, u32 most)
{
	u32 n = 1;

	while (bus_write(&dom.vm.mmio, &vcpu, address, size, value) == -EAGAIN && n < most)
		n++;
	return n;
}
