/* Intrusive doubly linked list; an empty head points to itself. */
#pragma once

#include <kernel/lib/compiler.h>

struct list {
	struct list *next, *prev;
};

/* clang-format off */
#define LIST_INIT(name) { &(name), &(name) }
/* clang-format on */

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_insert_between(struct list *n, struct list *prev, struct list *next)
{
	n->prev = prev;
	n->next = next;
	prev->next = n;
	next->prev = n;
}

static inline void list_add_head(struct list *head, struct list *n)
{
	list_insert_between(n, head, head->next);
}

static inline void list_add_tail(struct list *head, struct list *n)
{
	list_insert_between(n, head->prev, head);
}

/* Unlink n and leave it empty, so that a second call is harmless. */
static inline void list_del(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_first(head, type, member) list_entry((head)->next, type, member)
#define list_for_each(pos, head, member)                                                           \
	for (pos = list_first(head, __typeof__(*pos), member); &pos->member != (head);             \
	     pos = list_first(&pos->member, __typeof__(*pos), member))
/* As list_for_each, and pos may be unlinked in the body. */
#define list_for_each_safe(pos, tmp, head, member)                                                 \
	for (pos = list_first(head, __typeof__(*pos), member),                                     \
	    tmp = list_first(&pos->member, __typeof__(*pos), member);                              \
	     &pos->member != (head);                                                               \
	     pos = tmp, tmp = list_first(&tmp->member, __typeof__(*tmp), member))
