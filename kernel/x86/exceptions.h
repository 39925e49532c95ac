/* Exceptions: vectors, names and error codes. SDM vol. 3, table 6-1 and 4.7; APM vol. 2, table
 * 8-1. */
#pragma once

#include <kernel/lib/compiler.h>

#define NR_EXCEPTIONS 32

enum exception {
	EXC_DE = 0,
	EXC_DB = 1,
	EXC_NMI = 2,
	EXC_BP = 3,
	EXC_OF = 4,
	EXC_BR = 5,
	EXC_UD = 6,
	EXC_NM = 7,
	EXC_DF = 8,
	EXC_TS = 10,
	EXC_NP = 11,
	EXC_SS = 12,
	EXC_GP = 13,
	EXC_PF = 14,
	EXC_MF = 16,
	EXC_AC = 17,
	EXC_MC = 18,
	EXC_XM = 19,
	EXC_CP = 21,
};

/* True if the exception pushes an error code. SDM vol. 3, table 6-1; APM vol. 2, 8.2. */
static inline bool exception_has_error_code(u64 vector)
{
	return vector < NR_EXCEPTIONS &&
	       (1u << EXC_DF | 1u << EXC_TS | 1u << EXC_NP | 1u << EXC_SS | 1u << EXC_GP |
		1u << EXC_PF | 1u << EXC_AC | 1u << EXC_CP) >>
			       vector &
		       1;
}

/* True if RIP is that of the instruction, which can be executed again. #DB may be either; it counts
 * as a trap. APM vol. 2, table 8-1. */
static inline bool exception_is_fault(u64 vector)
{
	return vector != EXC_DB && vector != EXC_NMI && vector != EXC_BP && vector != EXC_OF &&
	       vector != EXC_DF && vector != EXC_MC;
}

/* The error code of a page fault. */
#define PF_PRESENT BIT(0) /* 0: the page is not mapped; 1: the access is not permitted */
#define PF_WRITE BIT(1)
#define PF_USER BIT(2)
#define PF_RESERVED BIT(3) /* a reserved bit is set in an entry */
#define PF_FETCH BIT(4)

/* The name of an exception for a log message; "exception" if it has none. */
static inline const char *exception_name(u64 vector)
{
	static const char *const names[NR_EXCEPTIONS] = {
		[EXC_DE] = "divide error",
		[EXC_DB] = "debug exception",
		[EXC_NMI] = "NMI",
		[EXC_BP] = "breakpoint",
		[EXC_OF] = "overflow",
		[EXC_BR] = "bound range exceeded",
		[EXC_UD] = "invalid opcode",
		[EXC_NM] = "no coprocessor",
		[EXC_DF] = "double fault",
		[EXC_TS] = "invalid TSS",
		[EXC_NP] = "segment missing",
		[EXC_SS] = "stack fault",
		[EXC_GP] = "general protection fault",
		[EXC_PF] = "page fault",
		[EXC_MF] = "x87 error",
		[EXC_AC] = "alignment check",
		[EXC_MC] = "machine check",
		[EXC_XM] = "SIMD error",
		[EXC_CP] = "control protection",
	};

	return vector < NR_EXCEPTIONS && names[vector] ? names[vector] : "exception";
}
