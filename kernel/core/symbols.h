/* Names of Weir's own functions, for the backtrace. */
#pragma once

#include <kernel/lib/compiler.h>

/* The function that contains this address, with its file ("take (pool.c)") if the name is not
 * unique, and the offset in the function. NULL if unknown. Any context. */
const char *symbol_find(u64 address, u64 *offset);
