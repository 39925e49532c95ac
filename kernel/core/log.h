/* The log: each line has a level and a time stamp, and goes to the console and to a ring in
 * memory. */
#pragma once

#include <kernel/lib/compiler.h>

enum log_level { LOG_ERR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* What time stamps show: nanoseconds since boot. They are 0 until this is called. Boot. */
void log_set_clock(u64 (*ns)(void));
/* Show lines up to this level; LOG_INFO until then. Boot. */
void log_set_level(enum log_level level);
bool log_shows(enum log_level level);
/* Print one line (no trailing newline in fmt) if its level is shown. Any context. */
void log_print(enum log_level level, const char *fmt, ...) __printf(2, 3);

#define log_err(...) log_print(LOG_ERR, __VA_ARGS__)
#define log_warn(...) log_print(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_print(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_print(LOG_DEBUG, __VA_ARGS__)

/* Copy at most `size` bytes of the ring from *position on (in bytes since boot), and move *position
 * behind them. If that part has been overwritten, the copy begins at the oldest complete line.
 * *end: behind the newest line. Returns the number of bytes. */
size_t log_copy(u64 *position, u64 *end, char *buf, size_t size);
#define LOG_LINE_SIZE 512u /* of a line, with its line end */
/* The same for one line, of at most LOG_LINE_SIZE bytes. *lost: the bytes before it that have been
 * overwritten. 0: there is none yet. The console only. */
size_t log_next_line(u64 *position, char *buf, u64 *lost);

/* Limits the lines from one place in the code: at most `burst` in so many seconds (0: one). The
 * next line is preceded by the number of lines that were left out. Any context. */
struct log_limit {
	u64 window_start_ns;
	u32 burst, seconds, used, dropped;
};
/* clang-format off */
#define LOG_LIMIT_INIT(b) { .burst = (b) }
/* clang-format on */
bool log_allowed(struct log_limit *limit);
