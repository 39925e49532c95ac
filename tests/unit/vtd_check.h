/* The model of remapping units, with failures reported through cmocka. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <kernel/mm/frame.h>
#include <tests/model/unit.h>

#include <cmocka.h>

void vtd_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprint_error(fmt, ap);
	va_end(ap);
	fail();
	abort();
}

/* No cache leads to a frame without a reference. */
static inline void vtd_check(void)
{
	const struct cached *e;

	for (unsigned int n = 0; n < VTD_UNITS; n++)
		for (u16 did = 0; did < CACHE_DOMAINS; did++)
			cache_for_each(e, &vtd_units[n].iotlb, did)
				for (u64 k = 0; e->perm && k < 1UL << MIN(e->order, 9); k++)
					if (!frame_dev_refs(e->mfn + k))
						fail_msg("dfn 0x%lx is cached, its frame 0x%lx "
							 "has no reference any more",
							 e->dfn + k, e->mfn + k);
}
