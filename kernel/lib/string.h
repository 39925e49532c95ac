/* Memory and string functions: the C library's on the host, kernel/lib/string.c's in the
 * hypervisor. */
#pragma once

#include <kernel/lib/types.h>

#ifdef WEIR_HOST
#include <stdio.h>
#include <string.h>
#else
void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);

/* %d %i %u %x %X %lx %llx %zu %s %c %p %%, width, zero and left padding, precision for %s. Returns
 * what the whole text would need, without the NUL, as C99 does. */
int snprintf(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int vsnprintf(char *buf, size_t size, const char *fmt, __builtin_va_list ap);
#endif

/* Copy at most size - 1 bytes and always terminate. False if src did not fit. */
static inline bool copy_string(char *dst, const char *src, size_t size)
{
	size_t i = 0;

	for (; i + 1 < size && src[i]; i++)
		dst[i] = src[i];
	dst[i] = 0;
	return !src[i];
}
