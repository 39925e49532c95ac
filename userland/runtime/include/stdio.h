/* What lwIP and the runtime need of the C library: formatted output. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

/* kernel/lib/printf.c's: C99's without floating point. */
int snprintf(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int vsnprintf(char *buf, size_t size, const char *fmt, va_list ap);
