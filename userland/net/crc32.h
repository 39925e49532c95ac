/* CRC-32 as zlib, PNG and Ethernet compute it: reflected polynomial 0xedb88320, start and end
 * inverted. */
#pragma once

#include <kernel/lib/compiler.h>

void crc32_init(void);
/* crc is 0 for the first piece, then what was returned. */
u32 crc32_add(u32 crc, const void *data, size_t length);
