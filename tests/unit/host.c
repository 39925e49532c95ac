/* Stand-ins for functions that the hypervisor's sources call in a unit test. They are weak: a test
 * can have its own. */
#include <stdarg.h>
#include <stdlib.h>

#include <kernel/core/irq.h>
#include <kernel/core/log.h>
#include <kernel/core/panic.h>
#include <kernel/lib/string.h>

void __attribute__((weak)) log_print(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (!getenv("VERBOSE"))
		return;
	fprintf(stderr, "log %d: ", level);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

bool __attribute__((weak)) log_shows(enum log_level level)
{
	(void)level;
	return true;
}

bool __attribute__((weak)) log_allowed(struct log_limit *limit)
{
	(void)limit;
	return true;
}

void __attribute__((weak)) irq_window(void)
{
}

void __attribute__((weak)) panic(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "panic: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}
