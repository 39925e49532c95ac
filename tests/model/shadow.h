/* The shadow state: what each device frame is mapped to and who owns each frame, recorded only from
 * the program's calls and their results. tests/model/checker.h compares the units with it.
 *
 * A mapping that a gather changes is pending from the call until the gather's batch is released:
 * meanwhile the old and the new mapping are allowed, and neither is required. A frame belongs to a
 * domain from the grant until the batch that unmapped it gives it back.
 */
#pragma once

#include <iommu/domain.h>
#include <tests/model/unit.h>

#define DOMAINS 3
#define NOBODY 0
#define LEAVING 0x80 /* its batch will give it back; or'ed to the owner */
#define MODEL_OWNER(slot) ((u16)(10 + (slot)))

/* The device address space that is used: several windows, concatenated into one array. */
#define WINDOWS 4
struct window {
	dfn_t first;
	u32 nr, index;
};
extern struct window windows[WINDOWS];
extern u32 nr_indices;
#define PART_OF_MAP 1024u

#define OLD_FRAMES 3
struct mapping {
	u32 now; /* frame; 0: none */
	u32 old[OLD_FRAMES]; /* frames that may be reached until these batches are released */
	u16 old_batches[OLD_FRAMES];
	u16 pending; /* all of the domain's batches for which the mapping is pending */
	u16 unknown; /* batches for which it had yet another frame */
	u8 perm; /* the requested permissions */
	u8 sure, may; /* required; allowed */
};

struct range {
	u32 first, nr; /* indices, or frames */
};
struct ranges {
	struct range *r;
	u32 nr, room;
};

struct model_batch {
	bool out; /* from begin to release */
	u32 parties; /* CPUs that have not answered */
	u32 lazy; /* calls of its step that do nothing */
	struct ranges touched; /* indices */
	struct ranges unmapped; /* frames, one entry for each unmapping */
	struct ranges leaving; /* frames */
};

struct model_domain {
	bool alive, destroying;
	struct iommu_domain *d;
	u16 did;
	struct mapping *map;
	bool *used; /* by part of map: a mapping ever existed there */
	struct model_batch batch[BATCHES_PER_DOMAIN];
	bool reserved; /* a device with reserved memory was attached since the last quiet point */
};

struct model_device {
	int domain; /* -1: none */
	bool ats, detaching;
	bool sure; /* every mapping must be reachable */
};

extern struct model_domain model_domains[DOMAINS];
extern struct model_device model_devices[VTD_DEVICES];

void shadow_start(void);
void shadow_stop(void);

/* Owner of a frame: NOBODY or slot + 1, possibly with LEAVING. */
u8 shadow_holder(mfn_t mfn);
void shadow_give(mfn_t mfn, u64 nr, u8 holder);
/* According to the shadow state, the frame has at least shadow_mapped() and at most shadow_held()
 * present mappings and unreleased tombstones. */
u32 shadow_mapped(mfn_t mfn);
u32 shadow_held(mfn_t mfn);

dfn_t shadow_dfn(u32 index);
/* False: dfn is in no window. */
bool shadow_index(dfn_t dfn, u32 *index);

void shadow_begin(struct model_domain *m, u32 batch);
/* Call before and after iommu_map(), and before iommu_unmap(). vtd_fail() if the result is
 * impossible. */
void shadow_map_begin(struct model_domain *m, u32 batch, struct range at, mfn_t mfn, u8 perm);
void shadow_map_end(struct model_domain *m, u32 batch, struct range at, mfn_t mfn, u8 perm, int r);
void shadow_unmap(struct model_domain *m, u32 batch, struct range at);
/* Frames that the batch has unmapped and that are mapped nowhere else are given back when it is
 * released. */
void shadow_leave(struct model_domain *m, u32 batch);
/* The batch is released: its pending old mappings are no longer allowed. */
void shadow_released(struct model_domain *m, u32 batch);
/* The domain is destroyed with all its mappings; no cache may have entries of it. */
void shadow_gone(struct model_domain *m);

/* True if batches are not released yet, including open gathers. */
bool shadow_batches_out(const struct model_domain *m);

/* How many frames the domain has mapped. */
u64 shadow_count_mapped(const struct model_domain *m);

/* True if the entry may still lead to this frame, because of a batch that is not released. */
bool shadow_may_be_old(const struct mapping *e, mfn_t mfn);
