/* The real-time clock of a PC (Motorola MC146818A, behind ports 0x70 and 0x71). */
#pragma once

#include <kernel/lib/compiler.h>

/* Its registers 0, 2, 4, 7, 8, 9 and B. */
struct rtc_registers {
	u8 second, minute, hour, day, month, year, b;
};

/* Seconds since 1970. The clock is assumed to hold UTC, and a year from 2000 to 2099. 0: the
 * registers hold no valid time. */
u64 rtc_decode(const struct rtc_registers *r);
/* The time now; 0 if there is no such clock. Boot. */
u64 rtc_read(void);
