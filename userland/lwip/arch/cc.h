/* What lwIP needs to know about the compiler and the platform. */
#pragma once

#include <stddef.h>
#include <stdint.h>

void lwip_port_message(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void lwip_port_assert(const char *text, const char *file, int line) __attribute__((noreturn));
uint32_t lwip_port_random(void);

typedef ptrdiff_t ssize_t;

#define LWIP_NO_INTTYPES_H 1
#define LWIP_NO_CTYPE_H 1
#define LWIP_NO_UNISTD_H 1
#define X8_F "02x"
#define U16_F "u"
#define S16_F "d"
#define X16_F "x"
#define U32_F "u"
#define S32_F "d"
#define X32_F "x"
#define SZT_F "zu"

#define LWIP_PLATFORM_DIAG(x)                                                                      \
	do {                                                                                       \
		lwip_port_message x;                                                               \
	} while (0)
#define LWIP_PLATFORM_ASSERT(x) lwip_port_assert(x, __FILE__, __LINE__)
#define LWIP_RAND() lwip_port_random()
