/* Small objects: kzalloc() and kfree(). Each page serves one power-of-two size. Its frame record
 * counts the allocated objects and names the first free one; each free object names the next; the
 * first free object also holds the links in the list of pages with room. A page without allocated
 * objects is freed at once, so that large blocks can form again. */
#include <kernel/core/paging.h>
#include <kernel/core/panic.h>
#include <kernel/core/spinlock.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frame.h>

#define MIN_SHIFT 5 /* the smallest object holds struct free_object */
#define MAX_SHIFT 11 /* above, whole pages */
#define MAX_PAGES_ORDER 8 /* 1 MiB */
#define NO_OBJECT 0xffff
#define KIND_PAGES 0x100 /* | order; below: the objects' shift */

struct free_object {
	struct free_object *next_page, *prev_page; /* valid in a page's first free object */
	u16 next; /* index in the page */
};
_Static_assert(sizeof(struct free_object) <= 1 << MIN_SHIFT, "fits the smallest object");

/* Guards the caches and the records of their pages. */
static struct spinlock slab_lock = SPINLOCK_INIT(LOCK_SLAB);
/* By shift: the pages with room, each as its first free object. */
static struct free_object *partial[MAX_SHIFT + 1];

#ifdef WEIR_HOST
extern bool alloc_should_fail(unsigned int order);
#else
static inline bool alloc_should_fail(unsigned int order __unused)
{
	return false;
}
#endif

static struct free_object *object_at(void *page, unsigned int shift, unsigned int index)
{
	return (struct free_object *)((char *)page + ((size_t)index << shift));
}

static void partial_push(struct free_object *o, unsigned int shift)
{
	assert_locked(&slab_lock);
	o->prev_page = NULL;
	o->next_page = partial[shift];
	if (partial[shift])
		partial[shift]->prev_page = o;
	partial[shift] = o;
}

static void partial_unlink(struct free_object *o, unsigned int shift)
{
	assert_locked(&slab_lock);
	if (o->prev_page)
		o->prev_page->next_page = o->next_page;
	else
		partial[shift] = o->next_page;
	if (o->next_page)
		o->next_page->prev_page = o->prev_page;
}

static bool add_page(unsigned int shift)
{
	mfn_t mfn = alloc_frames(0);
	struct frame_slab *slab;
	unsigned int nr = PAGE_SIZE >> shift;
	void *page;

	assert_locked(&slab_lock);
	if (mfn == INVALID_MFN)
		return false;
	page = mfn_to_virt(mfn);
	slab = frame_slab(mfn);
	*slab = (struct frame_slab){ .kind = shift, .used = 0, .first_free = 0 };
	for (unsigned int i = 0; i < nr; i++)
		object_at(page, shift, i)->next = i + 1 < nr ? i + 1 : NO_OBJECT;
	partial_push(object_at(page, shift, 0), shift);
	return true;
}

static void *take_object(unsigned int shift)
{
	struct free_object *o = partial[shift];
	void *page = (void *)ALIGN_DOWN((uintptr_t)o, PAGE_SIZE);
	struct frame_slab *slab = frame_slab(virt_to_mfn(page));

	assert_locked(&slab_lock);
	partial_unlink(o, shift);
	slab->first_free = o->next;
	slab->used++;
	if (o->next != NO_OBJECT)
		partial_push(object_at(page, shift, o->next), shift);
	return o;
}

static void *alloc_pages_zeroed(unsigned int order)
{
	mfn_t mfn = order <= MAX_PAGES_ORDER ? alloc_frames(order) : INVALID_MFN;

	if (mfn == INVALID_MFN)
		return NULL;
	*frame_slab(mfn) = (struct frame_slab){ .kind = KIND_PAGES | order };
	return memset(mfn_to_virt(mfn), 0, PAGE_SIZE << order);
}

void *kzalloc(size_t size)
{
	unsigned int shift = MIN_SHIFT;
	void *p = NULL;

	if (!size || size > PAGE_SIZE << MAX_PAGES_ORDER)
		return NULL;
	while ((1UL << shift) < size)
		shift++;
	if (shift > MAX_SHIFT)
		return alloc_pages_zeroed(shift > PAGE_SHIFT ? shift - PAGE_SHIFT : 0);
	if (alloc_should_fail(0))
		return NULL;
	spin_lock(&slab_lock);
	if (partial[shift] || add_page(shift))
		p = take_object(shift);
	spin_unlock(&slab_lock);
	return p ? memset(p, 0, 1UL << shift) : NULL;
}

void kfree(void *p)
{
	void *page = (void *)ALIGN_DOWN((uintptr_t)p, PAGE_SIZE);
	struct frame_slab *slab;
	struct free_object *o = p;
	struct frame_info info;
	unsigned int shift;
	bool empty;
	mfn_t mfn;

	if (!p)
		return;
	mfn = virt_to_mfn(page);
	if (!frame_query(mfn, &info) || info.type != FRAME_WEIR || !frame_slab(mfn)->kind)
		panic("kfree: %p was not allocated by kzalloc", p);
	slab = frame_slab(mfn);
	if (slab->kind & KIND_PAGES) {
		BUG_ON(p != page);
		free_frames(mfn, slab->kind & ~KIND_PAGES);
		return;
	}
	shift = slab->kind;
	BUG_ON(((uintptr_t)p - (uintptr_t)page) & ((1UL << shift) - 1));
	spin_lock(&slab_lock);
	BUG_ON(!slab->used);
	if (slab->first_free != NO_OBJECT)
		partial_unlink(object_at(page, shift, slab->first_free), shift);
	o->next = slab->first_free;
	slab->first_free = ((uintptr_t)p - (uintptr_t)page) >> shift;
	empty = !--slab->used;
	if (!empty)
		partial_push(o, shift);
	spin_unlock(&slab_lock);
	if (empty)
		free_frames(mfn, 0);
}
