/* CRC-32 as zlib, PNG and Ethernet compute it: reflected polynomial 0xedb88320, initial value and
 * result inverted. */
#pragma once

#include <kernel/lib/compiler.h>

void crc32_init(void);
/* crc: 0 for the first piece, then the previous result. Call crc32_init() first. */
u32 crc32_add(u32 crc, const void *data, size_t length);
