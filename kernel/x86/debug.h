/* Debug registers. SDM vol. 3, 18.2. */
#pragma once

#include <kernel/lib/compiler.h>

#define DR6_RESET 0xffff0ff0UL
#define DR6_B MASK(3, 0) /* which breakpoints were met */
#define DR6_BD BIT(13) /* an access to a debug register, with DR7.GD */
#define DR6_BS BIT(14) /* single step */
#define DR7_RESET 0x400UL
#define DR7_ANY_ENABLED MASK(7, 0)
#define DR7_ENABLED(n) (3UL << (2 * (n))) /* L and G */
#define DR7_GD BIT(13) /* accesses to debug registers raise #DB */

/* What breakpoint n watches. */
#define DR7_TYPE(dr7, n) ((dr7) >> (16 + 4 * (n)) & 3)
#define DR7_TYPE_EXECUTION 0UL
#define DR7_TYPE_WRITE 1UL
#define DR7_TYPE_PORT 2UL /* with CR4.DE */
#define DR7_TYPE_ACCESS 3UL
/* Bytes, to which its address is aligned. The encoding 10b means 8. */
#define DR7_LENGTH(dr7, n) (0x4821UL >> (4 * ((dr7) >> (18 + 4 * (n)) & 3)) & 0xf)

/* The number must be a literal: the instruction names the register. */
#define read_dr(n)                                                                                 \
	({                                                                                         \
		u64 _value;                                                                        \
		__asm__ volatile("mov %%db" #n ", %0" : "=r"(_value));                             \
		_value;                                                                            \
	})
#define write_dr(n, value) __asm__ volatile("mov %0, %%db" #n ::"r"((u64)(value)))
