/* The part of the C library that lwIP and the guests use: formatted output. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

/* Implemented by kernel/lib/printf.c: as in C99, without floating point. */
int snprintf(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int vsnprintf(char *buf, size_t size, const char *fmt, va_list ap);
