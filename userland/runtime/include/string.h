/* C's string.h, as far as the guests need it: what Weir itself has (kernel/string.c), and a few more. */
#pragma once

#include <kernel/string.h>

char *strncpy(char *dst, const char *src, size_t n);
char *strstr(const char *haystack, const char *needle);
void *memchr(const void *s, int c, size_t n);
