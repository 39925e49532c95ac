/* Fixed-width types, and a type for each address space. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

typedef u64 paddr_t; /* machine-physical address, bytes */
typedef u64 gpaddr_t; /* guest-physical address, bytes */
typedef u64 mfn_t; /* machine frame number (paddr >> 12) */
typedef u64 gfn_t; /* guest frame number (guest-physical >> 12) */
typedef u64 dfn_t; /* device frame number: what a device puts on the bus, >> 12 */

#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))

/* Orders, in frames, of the three page sizes of x86 page tables. */
#define ORDER_4K 0
#define ORDER_2M 9
#define ORDER_1G 18

#define INVALID_MFN (~(mfn_t)0)
#define INVALID_GFN (~(gfn_t)0)
