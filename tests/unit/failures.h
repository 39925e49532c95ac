/* Makes functions below the IOMMU core fail when a test asks for it: FAILURE_LIBS wraps the
 * functions with these. */
#pragma once

#include <iommu/hw.h>
#include <iommu/regs.h>
#include <kernel/core/irq.h>
#include <kernel/core/paging.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frame.h>

/* Each counts down to the call that fails, 1 being the next call; 0: no call fails. */
static unsigned int fail_kzalloc, fail_irq_alloc, fail_mmio_map;
/* Likewise, for pages and runs of pages. */
static unsigned int fail_alloc;
/* Likewise, for pages that become tables (FRAME_IO_TABLE). */
static unsigned int fail_frame_set;
/* Bits of GCMD that all units ignore. */
static u64 deaf_to;
/* How often units process their queues while the CPU sleeps; after that they stop. -1: always. */
static int units_awake = -1;
/* Called before each write-back, with the memory that units that do not snoop are about to see; not
 * called recursively. */
static void (*before_write_back)(const void *p, size_t n);

static inline bool fails(unsigned int *countdown)
{
	return *countdown && !--*countdown;
}

void *__real_alloc_page(void);
void *__wrap_alloc_page(void);
void *__wrap_alloc_page(void)
{
	return fails(&fail_alloc) ? NULL : __real_alloc_page();
}

mfn_t __real_alloc_frames(unsigned int order);
mfn_t __wrap_alloc_frames(unsigned int order);
mfn_t __wrap_alloc_frames(unsigned int order)
{
	return fails(&fail_alloc) ? INVALID_MFN : __real_alloc_frames(order);
}

mfn_t __real_alloc_untyped(unsigned int order);
mfn_t __wrap_alloc_untyped(unsigned int order);
mfn_t __wrap_alloc_untyped(unsigned int order)
{
	return fails(&fail_alloc) ? INVALID_MFN : __real_alloc_untyped(order);
}

void *__real_kzalloc(size_t size);
void *__wrap_kzalloc(size_t size);
void *__wrap_kzalloc(size_t size)
{
	return fails(&fail_kzalloc) ? NULL : __real_kzalloc(size);
}

int __real_irq_alloc(u32 cpu, void (*handler)(void *arg), void *arg);
int __wrap_irq_alloc(u32 cpu, void (*handler)(void *arg), void *arg);
int __wrap_irq_alloc(u32 cpu, void (*handler)(void *arg), void *arg)
{
	return fails(&fail_irq_alloc) ? -ENOSPC : __real_irq_alloc(cpu, handler, arg);
}

volatile void *__real_mmio_map(paddr_t pa, size_t size);
volatile void *__wrap_mmio_map(paddr_t pa, size_t size);
volatile void *__wrap_mmio_map(paddr_t pa, size_t size)
{
	return fails(&fail_mmio_map) ? NULL : __real_mmio_map(pa, size);
}

int __real_frame_set(mfn_t mfn, unsigned int order, enum frame_type type, u16 owner);
int __wrap_frame_set(mfn_t mfn, unsigned int order, enum frame_type type, u16 owner);
int __wrap_frame_set(mfn_t mfn, unsigned int order, enum frame_type type, u16 owner)
{
	if (type == FRAME_IO_TABLE && fails(&fail_frame_set))
		return -EBUSY;
	return __real_frame_set(mfn, order, type, owner);
}

void __real_hw_write32(volatile void *base, u32 reg, u32 value);
void __wrap_hw_write32(volatile void *base, u32 reg, u32 value);
void __wrap_hw_write32(volatile void *base, u32 reg, u32 value)
{
	if (reg == GCMD_REG) {
		u32 status = hw_read32(base, GSTS_REG);

		value = (u32)((value & ~deaf_to) | (status & deaf_to));
	}
	__real_hw_write32(base, reg, value);
}

void __real_irq_wait(void);
void __wrap_irq_wait(void);
void __wrap_irq_wait(void)
{
	if (!units_awake)
		return;
	units_awake -= units_awake > 0;
	__real_irq_wait();
}

void __real_hw_write_back(const void *p, size_t n);
void __wrap_hw_write_back(const void *p, size_t n);
void __wrap_hw_write_back(const void *p, size_t n)
{
	static bool busy;

	if (before_write_back && !busy) {
		busy = true;
		before_write_back(p, n);
		busy = false;
	}
	__real_hw_write_back(p, n);
}

static inline void nothing_fails(void)
{
	fail_alloc = fail_kzalloc = fail_irq_alloc = fail_mmio_map = fail_frame_set = 0;
	deaf_to = 0;
	units_awake = -1;
	before_write_back = NULL;
}
