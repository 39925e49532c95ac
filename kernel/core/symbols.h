/* Names of Weir's own functions, for the backtrace. */
#pragma once

#include <kernel/lib/compiler.h>

/* The function that holds this address, and how far into it; NULL if unknown. */
const char *symbol_find(u64 address, u64 *offset);
