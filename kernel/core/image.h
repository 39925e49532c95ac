/* Where linker.ld has put the parts of the image. Each begins and ends on a page. */
#pragma once

#include <kernel/lib/compiler.h>

#ifdef WEIR_HOST
/* The host build has no image: the test says where it would be. */
extern const u8 *_text_start, *_text_end, *_rodata_start, *_rodata_end, *_data_start, *_image_end;
#else
extern const u8 _text_start[], _text_end[], _rodata_start[], _rodata_end[], _data_start[],
	_image_end[];
#endif
