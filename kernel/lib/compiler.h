/* Compiler attributes and small type-checked macros. */
#pragma once

#include <kernel/lib/types.h>

#define __must_check __attribute__((warn_unused_result))
#define __packed __attribute__((packed))
#define __aligned(n) __attribute__((aligned(n)))
#ifndef __always_inline /* the C library of the tests has it too */
#define __always_inline inline __attribute__((always_inline))
#endif
#define __noinline __attribute__((__noinline__))
#define __noreturn __attribute__((noreturn))
#define __printf(fmt, args) __attribute__((format(printf, fmt, args)))
#define __unused __attribute__((unused))
#define __section(s) __attribute__((section(s)))
#define __used __attribute__((used))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
/* clang-format off */
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
/* clang-format on */

#define BIT(n) (1UL << (n))
/* Bits hi..lo set, both included, as the manuals write them. */
#define MASK(hi, lo) ((~0UL >> (63 - (hi))) & (~0UL << (lo)))
/* Read or place the field that MASK selects. */
#define FIELD_GET(mask, value) (((u64)(value) & (mask)) >> __builtin_ctzl(mask))
#define FIELD_PREP(mask, value) (((u64)(value) << __builtin_ctzl(mask)) & (mask))

/* clang-format off */
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a) - 1))
#define ALIGN_UP(x, a) ALIGN_DOWN((x) + ((__typeof__(x))(a) - 1), a)
#define IS_ALIGNED(x, a) (((x) & ((__typeof__(x))(a) - 1)) == 0)
/* clang-format on */

#define MIN(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) _a = (a);                                                            \
		__typeof__(b) _b = (b);                                                            \
		_a < _b ? _a : _b;                                                                 \
	})
#define MAX(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) _a = (a);                                                            \
		__typeof__(b) _b = (b);                                                            \
		_a > _b ? _a : _b;                                                                 \
	})
