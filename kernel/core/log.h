/* The log: each line goes to COM1 and to a ring in memory, with a level and a time stamp. See
 * kernel/core/log.c. */
#pragma once

#include <kernel/lib/compiler.h>

enum log_level { LOG_ERR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Show lines up to this level; LOG_INFO until then. Boot. */
void log_set_level(enum log_level level);
bool log_shows(enum log_level level);
/* Print one line (no trailing newline in fmt) if its level is shown. Any context. */
void log_print(enum log_level level, const char *fmt, ...) __printf(2, 3);

#define log_err(...) log_print(LOG_ERR, __VA_ARGS__)
#define log_warn(...) log_print(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_print(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_print(LOG_DEBUG, __VA_ARGS__)

/* Copy lines out of the memory ring from *position (bytes since boot) on, at most `size` bytes;
 * moves *position, past what has been overwritten if need be. Returns the bytes copied. */
size_t log_copy(u64 *position, char *buf, size_t size);

/* At most `burst` lines come out of one call site in so many seconds (0: one); what was dropped is said with the next
 * line. */
struct log_limit {
	u64 window_start_ns;
	u32 burst, seconds, used, dropped;
};
/* clang-format off */
#define LOG_LIMIT_INIT(b) { .burst = (b) }
/* clang-format on */
bool log_allowed(struct log_limit *limit);
