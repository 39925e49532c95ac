/* The console of the guest that the control domain shows: where each character goes.
 * sources: kernel/guest/devices/guestconsole.c
 */
#include "test.h"

#include <kernel/guest/devices/guestconsole.h>
#include <kernel/guest/devices/vuart.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/domain/event.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/lib/errno.h>

static struct domain control = { .id = 3 }, guests[2] = { { .id = 1 }, { .id = 2 } };
static char seen[8192];

struct domain *domain_get(u16 id)
{
	return id == 1 || id == 2 ? &guests[id - 1] : NULL;
}

void domain_put(struct domain *d)
{
	(void)d;
}

void domain_event(struct domain *d, u32 event)
{
	(void)d, (void)event;
}

void domain_event_to_control(u32 event)
{
	assert_int_equal(event, WEIR_EVENT_CONSOLE);
}

int guest_read(struct memory *m, gpaddr_t gpa, void *buf, size_t len)
{
	(void)m, (void)gpa, (void)buf, (void)len;
	return 0;
}

int guest_write(struct memory *m, gpaddr_t gpa, const void *buf, size_t len)
{
	(void)m;
	assert_true(gpa + len <= sizeof(seen));
	memcpy(seen + gpa, buf, len);
	return 0;
}

size_t vuart_room(struct vuart *u)
{
	(void)u;
	return 0;
}

void vuart_receive(struct vuart *u, u8 c)
{
	(void)u, (void)c;
}

void vuart_selected(struct vuart *u)
{
	(void)u;
}

/* Guest `id` writes this; false: it goes to the log. */
static bool says(u16 id, const char *text)
{
	bool tell = false, taken = true;

	for (; *text; text++)
		taken &= guestconsole_put(id, (u8)*text, &tell);
	return taken;
}

static s64 chosen(u64 id)
{
	return guestconsole_select(&control, id);
}

/* The control domain reads exactly this. */
static void reads(const char *text)
{
	size_t len = strlen(text);

	memset(seen, 0, sizeof(seen));
	assert_int_equal(guestconsole_read(&control, 0, sizeof(seen)), len);
	assert_string_equal(seen, text);
}

static void of_one_guest(void **state)
{
	(void)state;
	assert_false(says(1, "x"));
	assert_int_equal(guestconsole_read(&control, 0, 100), -ENOENT);
	assert_int_equal(chosen(1), 0);
	reads("");
	assert_true(says(1, "one"));
	assert_false(says(2, "two"));
	reads("one");
	assert_int_equal(chosen(7), -ENOENT);
	assert_int_equal(chosen(3), -EINVAL);
	assert_true(says(1, "still"));
	reads("still");
}

/* A guest writes while the control domain leaves: what does not go to the log can still be read. */
static void nothing_is_lost_on_leaving(void **state)
{
	(void)state;
	assert_int_equal(chosen(1), 0);
	assert_true(says(1, "before"));
	assert_int_equal(chosen(0), 0);
	assert_false(says(1, "after"));
	reads("before");
	assert_int_equal(guestconsole_read(&control, 0, 100), -ENOENT);

	/* Another guest's console begins empty, and so does that of the next control domain. */
	assert_int_equal(chosen(1), 0);
	assert_true(says(1, "secret"));
	assert_int_equal(chosen(0), 0);
	assert_int_equal(chosen(2), 0);
	reads("");
	assert_true(says(2, "secret"));
	guestconsole_release();
	assert_int_equal(guestconsole_read(&control, 0, 100), -ENOENT);
}

static void a_guest_waits_while_nobody_reads(void **state)
{
	u32 nr = 0;

	(void)state;
	assert_int_equal(chosen(1), 0);
	while (guestconsole_has_room(1) && nr < 100000)
		nr += says(1, "y");
	assert_int_equal(nr, 4096);
	assert_true(guestconsole_has_room(2));
	assert_int_equal(guestconsole_read(&control, 0, 100), 100);
	assert_true(guestconsole_has_room(1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_one_guest),
		cmocka_unit_test(nothing_is_lost_on_leaving),
		cmocka_unit_test(a_guest_waits_while_nobody_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
