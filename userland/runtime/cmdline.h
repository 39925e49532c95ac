/* Words of the command line: "key=value" and "word". The first of several with the same key counts. */
#pragma once

#include <kernel/compiler.h>

/* Copy the value of "key=value" (at most size - 1 bytes). False if it is not there. */
bool cmdline_get(const char *key, char *value, size_t size);
/* The decimal value of "key=number", with K, M or G behind it if wanted; otherwise `absent`. */
u64 cmdline_number(const char *key, u64 absent);
bool cmdline_has(const char *word);
