/* The checker: compares everything that a cache or a walk of a unit leads to with the shadow
 * state. Ends in vtd_fail() if they differ. */
#pragma once

#include <tests/model/shadow.h>

/* An access of the device: it `reached` mfn, or was blocked. */
void checker_access(unsigned int device, dfn_t dfn, bool write, bool translated, bool reached,
		    mfn_t mfn);
/* All that the caches hold of these device frames, and walks to some of them. */
void checker_range(const struct model_domain *m, struct range at);
/* All entries of all caches, superpages by samples. */
void checker_caches(void);
/* Everything is quiet: references and counters must be what the shadow says. */
void checker_quiet(void);
