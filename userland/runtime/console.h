/* COM1 by polling: all that the guest prints. */
#pragma once

#include <kernel/compiler.h>

void console_init(void);
void console_write(const char *text, size_t length);
/* Like C's printf, with what kernel/printf.c knows. Lines longer than 511 bytes are cut. */
int printf(const char *fmt, ...) __printf(1, 2);
/* Print the reason and end: as a crashed domain under Weir, halted natively. */
void fatal(const char *fmt, ...) __printf(1, 2) __noreturn;
