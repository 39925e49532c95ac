/* The guest's XMM and MMX registers. */
#include <kernel/guest/emulate/simd.h>

/* The number of a register is part of the instruction. */
#define XMM_READ(n)                                                                                \
	case n:                                                                                    \
		__asm__ volatile("movups %%xmm" #n ", (%0)" ::"r"(value) : "memory");              \
		break;
#define XMM_WRITE(n)                                                                               \
	case n:                                                                                    \
		__asm__ volatile("movups (%0), %%xmm" #n ::"r"(value) : "memory");                 \
		break;
#define MMX_READ(n)                                                                                \
	case n:                                                                                    \
		__asm__ volatile("movq %%mm" #n ", %0" : "=m"(value));                             \
		break;
#define MMX_WRITE(n)                                                                               \
	case n:                                                                                    \
		__asm__ volatile("movq %0, %%mm" #n ::"m"(value));                                 \
		break;
/* clang-format off */
#define EIGHT(do) do(0) do(1) do(2) do(3) do(4) do(5) do(6) do(7)
#define SIXTEEN(do) EIGHT(do) do(8) do(9) do(10) do(11) do(12) do(13) do(14) do(15)
/* clang-format on */

#define FSW_ES BIT(7) /* SDM vol. 1, 8.1.3 */

void xmm_read(unsigned int n, u64 value[2])
{
	switch (n) {
		SIXTEEN(XMM_READ)
	}
}

void xmm_write(unsigned int n, const u64 value[2])
{
	switch (n) {
		SIXTEEN(XMM_WRITE)
	}
}

u64 mmx_read(unsigned int n)
{
	u64 value = 0;

	switch (n) {
		EIGHT(MMX_READ)
	}
	return value;
}

void mmx_write(unsigned int n, u64 value)
{
	switch (n) {
		EIGHT(MMX_WRITE)
	}
}

bool x87_error_pending(void)
{
	u16 status;

	__asm__ volatile("fnstsw %0" : "=a"(status));
	return status & FSW_ES;
}
