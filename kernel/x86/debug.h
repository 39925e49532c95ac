/* Debug registers. SDM vol. 3, 18.2. */
#pragma once

#include <kernel/lib/compiler.h>

#define DR6_RESET 0xffff0ff0UL
#define DR6_B MASK(3, 0) /* which breakpoints were met */
#define DR6_BD BIT(13) /* an access to a debug register, with DR7.GD */
#define DR6_BS BIT(14) /* single step */
#define DR7_RESET 0x400UL
#define DR7_GD BIT(13) /* accesses to debug registers raise #DB */

/* The number must be a literal: the instruction names the register. */
#define read_dr(n)                                                                                 \
	({                                                                                         \
		u64 _value;                                                                        \
		__asm__ volatile("mov %%db" #n ", %0" : "=r"(_value));                             \
		_value;                                                                            \
	})
#define write_dr(n, value) __asm__ volatile("mov %0, %%db" #n ::"r"((u64)(value)))
