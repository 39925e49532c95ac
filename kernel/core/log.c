/* One line goes: format on the stack -> lock -> memory ring and console. Nothing here allocates or
 * waits for long. */
#include <kernel/core/clock.h>
#include <kernel/core/console.h>
#include <kernel/core/log.h>
#include <kernel/core/spinlock.h>
#include <kernel/lib/string.h>
#include <stdarg.h>

#define LINE_SIZE 512
#define RING_SIZE (64u << 10)

/* Guards the ring and keeps lines in order; before the console's. */
static struct spinlock log_lock = SPINLOCK_INIT(LOCK_LOG);
static char ring[RING_SIZE];
static u64 ring_written; /* bytes ever; the newest RING_SIZE of them are in the ring */

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

size_t log_copy(u64 *position, char *buf, size_t size)
{
	size_t n = 0;

	spin_lock(&log_lock);
	if (ring_written > RING_SIZE && *position < ring_written - RING_SIZE)
		*position = ring_written - RING_SIZE;
	while (n < size && *position < ring_written)
		buf[n++] = ring[(*position)++ % RING_SIZE];
	spin_unlock(&log_lock);
	return n;
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
	char line[LINE_SIZE];
	u64 us = clock_ns() / 1000;
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
	/* A guest's or GRUB's text may be part of the line: it must not be able to fake another
	 * line or move the cursor. */
	for (size_t i = 0; i < n; i++)
		if ((u8)line[i] < ' ' && line[i] != '\t')
			line[i] = '?';
	line[n++] = '\r';
	line[n++] = '\n';

	/* A panic must be seen even if the holder of the lock is the one that broke. */
	if (!console_in_panic())
		spin_lock(&log_lock);
	ring_write(line, n);
	console_line(line, n);
	if (!console_in_panic())
		spin_unlock(&log_lock);
}

bool log_allowed(struct log_limit *limit)
{
	u64 now = clock_ns(), start = read_once(&limit->window_start_ns);
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
