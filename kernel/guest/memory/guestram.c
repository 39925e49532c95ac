/* A guest's RAM, read and written in place. */
#include <kernel/guest/memory/guestram.h>

bool guest_ram_find(struct guest_ram *r, gpaddr_t gpa)
{
	struct guest_ram_leaf *leaf = guest_ram_leaf(r, gpa);
	unsigned int order;
	char *page = nested_ram(r->nested, gpa >> PAGE_SHIFT, &order);
	u64 size;

	if (!page)
		return false;
	size = PAGE_SIZE << order;
	leaf->start = gpa & ~(size - 1);
	leaf->size = size;
	leaf->at = page - ((gpa & PAGE_MASK) - leaf->start);
	return true;
}
