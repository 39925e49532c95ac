/* Data and I/O breakpoints. The processor looks for them itself, but not in accesses that Weir
 * executes. SDM vol. 3, 18.2; APM vol. 2, 13.1.1 and 13.1.3. */
#pragma once

#include <kernel/lib/compiler.h>

enum access_kind { ACCESS_READ, ACCESS_WRITE, ACCESS_PORT };

/* The bits that DR6.B gets from an access of `size` bytes, or ports, at a linear address or a port.
 * dr: DR0 to DR3. ACCESS_PORT: CR4.DE is set. */
u64 breakpoints_met(u64 dr7, const u64 dr[4], enum access_kind kind, u64 address,
		    unsigned int size);
