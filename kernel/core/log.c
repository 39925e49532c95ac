/* The way of a line: formatted on the stack, then, under the lock, copied into the ring in memory,
 * from which the console takes it. Nothing here allocates memory. */
#include <kernel/core/log.h>

#include <stdarg.h>
#include <kernel/core/console.h>
#include <kernel/core/spinlock.h>
#include <kernel/lib/string.h>

#define RING_SIZE (64u << 10)

/* Guards the ring, and keeps lines in order. */
static struct spinlock log_lock = SPINLOCK_INIT(LOCK_LOG);
static char ring[RING_SIZE];
static u64 ring_written; /* bytes since boot; the newest RING_SIZE of them are in the ring */

static u64 (*clock)(void); /* nanoseconds since boot; NULL: no time yet */

static enum log_level highest = LOG_INFO;

static const char *const level_word[] = {
	[LOG_ERR] = "error: ",
	[LOG_WARN] = "warning: ",
	[LOG_INFO] = "",
	[LOG_DEBUG] = "",
};

static void ring_write(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		ring[ring_written++ % RING_SIZE] = text[i];
}

/* A panic must be seen even if the CPU that holds the lock is the one that failed. */
static void lock(void)
{
	if (!console_in_panic())
		spin_lock(&log_lock);
}

static void unlock(void)
{
	if (!console_in_panic())
		spin_unlock(&log_lock);
}

static void assert_mine(void)
{
	if (!console_in_panic())
		assert_locked(&log_lock);
}

/* The oldest line of which no part has been overwritten. */
static u64 oldest_line(void)
{
	u64 position;

	assert_mine();
	if (ring_written <= RING_SIZE)
		return 0;
	for (position = ring_written - RING_SIZE; ring[position % RING_SIZE] != '\n'; position++)
		;
	return position + 1;
}

/* Copy from *position on, or from the oldest line that is still there, up to `end`. */
static size_t copy(u64 *position, char *buf, size_t size, char end)
{
	size_t n = 0;
	char c = 0;

	assert_mine();
	if (ring_written > RING_SIZE && *position < ring_written - RING_SIZE)
		*position = oldest_line();
	while (n < size && *position < ring_written && (!end || c != end))
		buf[n++] = c = ring[(*position)++ % RING_SIZE];
	return n;
}

size_t log_copy(u64 *position, u64 *end, char *buf, size_t size)
{
	size_t n;

	lock();
	n = copy(position, buf, size, 0);
	*end = ring_written;
	unlock();
	return n;
}

size_t log_next_line(u64 *position, char *buf, u64 *lost)
{
	u64 before = *position;
	size_t n;

	lock();
	n = copy(position, buf, LOG_LINE_SIZE, '\n');
	unlock();
	*lost = *position - n - before;
	return n;
}

void log_set_clock(u64 (*ns)(void))
{
	clock = ns;
}

static u64 log_time_ns(void)
{
	return clock ? clock() : 0;
}

void log_set_level(enum log_level level)
{
	highest = level;
}

bool log_shows(enum log_level level)
{
	return level <= highest;
}

void log_print(enum log_level level, const char *fmt, ...)
{
	char line[LOG_LINE_SIZE];
	u64 us = log_time_ns() / 1000;
	size_t n, room;
	va_list ap;
	int want;

	if (!log_shows(level))
		return;
	n = (size_t)snprintf(line, sizeof(line), "[%5lu.%06lu] %s", us / 1000000, us % 1000000,
			     level_word[level]);
	room = sizeof(line) - n - 2;
	va_start(ap, fmt);
	want = vsnprintf(line + n, room, fmt, ap);
	va_end(ap);
	if ((size_t)want >= room) {
		n += room - 1;
		memcpy(line + n - 3, "...", 3);
	} else {
		n += (size_t)want;
	}
	/* The line may contain text of a guest or from GRUB, which must not be able to forge
	 * another line or to move the cursor. */
	for (size_t i = 0; i < n; i++)
		if ((u8)line[i] < ' ' && line[i] != '\t')
			line[i] = '?';
	line[n++] = '\r';
	line[n++] = '\n';

	lock();
	ring_write(line, n);
	unlock();
	console_update();
}

bool log_allowed(struct log_limit *limit)
{
	u64 now = log_time_ns(), start = read_once(&limit->window_start_ns);
	u64 window = MAX(limit->seconds, 1u) * 1000000000UL;
	u32 dropped;

	if (now - start >= window && atomic_cmpxchg(&limit->window_start_ns, &start, now)) {
		store_release(&limit->used, 0);
		dropped = atomic_xchg(&limit->dropped, 0);
		if (dropped)
			log_warn("%u similar lines were left out before the next one", dropped);
	}
	if (atomic_add(&limit->used, 1) <= limit->burst)
		return true;
	atomic_add(&limit->dropped, 1);
	return false;
}
