/* Copies between Weir's memory and a guest's. */
#include <kernel/guest/memory/guestcopy.h>

#include <iommu/iommu.h>
#include <kernel/core/paging.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>

/* Process one page at a time under the lock, so that a release on another vCPU cannot take the
 * frame away during the copy. */
static __always_inline int for_each_page(struct memory *m, gpaddr_t gpa, u64 len,
					 void (*fn)(void *page, void *ctx, size_t n), void *buf)
{
	while (len) {
		size_t offset = gpa & ~PAGE_MASK, n = MIN(len, PAGE_SIZE - offset);
		unsigned int order;
		char *page;

		spin_lock(&m->nested.lock);
		page = nested_ram(&m->nested, gpa >> PAGE_SHIFT, &order);
		if (page)
			fn(page + offset, buf, n);
		spin_unlock(&m->nested.lock);
		if (!page)
			return -EFAULT;
		gpa += n;
		len -= n;
		if (buf)
			buf = (char *)buf + n;
	}
	return 0;
}

static void copy_from_page(void *page, void *buf, size_t n)
{
	memcpy(buf, page, n);
}

static void copy_to_page(void *page, void *buf, size_t n)
{
	memcpy(page, buf, n);
}

static void clear_page(void *page, void *ctx __unused, size_t n)
{
	memset(page, 0, n);
	if (n == PAGE_SIZE)
		iommu_cleared(virt_to_mfn(page), 1);
}

int guest_read(struct memory *m, gpaddr_t gpa, void *buf, size_t len)
{
	return for_each_page(m, gpa, len, copy_from_page, buf);
}

int guest_write(struct memory *m, gpaddr_t gpa, const void *buf, size_t len)
{
	return for_each_page(m, gpa, len, copy_to_page, (void *)buf);
}

int guest_zero(struct memory *m, gpaddr_t gpa, u64 len)
{
	return for_each_page(m, gpa, len, clear_page, NULL);
}

bool guest_is_ram(struct memory *m, gpaddr_t gpa)
{
	unsigned int order;
	bool is;

	spin_lock(&m->nested.lock);
	is = nested_ram(&m->nested, gpa >> PAGE_SHIFT, &order);
	spin_unlock(&m->nested.lock);
	return is;
}

struct cmpxchg {
	u64 expected, desired;
	bool done;
};

static void exchange_word(void *word, void *arg, size_t n)
{
	struct cmpxchg *x = arg;
	u32 expected = (u32)x->expected;

	if (n == 4)
		x->done = atomic_cmpxchg((u32 *)word, &expected, (u32)x->desired);
	else
		x->done = atomic_cmpxchg((u64 *)word, &x->expected, x->desired);
}

int guest_cmpxchg(struct memory *m, gpaddr_t gpa, unsigned int size, u64 expected, u64 desired)
{
	struct cmpxchg x = { expected, desired, false };
	int ret = for_each_page(m, gpa, size, exchange_word, &x);

	return ret ? ret : x.done ? 0 : -EBUSY;
}
