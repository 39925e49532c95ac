/* The checker: compares everything that a unit's caches or walks lead to with the shadow state, and
 * calls vtd_fail() if they differ. */
#pragma once

#include <tests/model/shadow.h>

/* The device accessed dfn (SS_R or SS_W): it `reached` mfn, or was blocked. */
void checker_access(u32 device, dfn_t dfn, u8 perm, bool translated, bool reached, mfn_t mfn);
/* Everything that the caches hold for these device frames, and walks for some of them. */
void checker_range(const struct model_domain *m, struct range at);
/* All entries of all caches; superpages by samples. */
void checker_caches(void);
/* Nothing is in flight: references and counters must equal those of the shadow state. */
void checker_quiet(void);
