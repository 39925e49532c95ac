/* The shadow state: what each device frame is mapped to, and who has each frame, recorded from
 * nothing but the program's calls and their results. tests/model/checker.h compares the units
 * with it.
 *
 * A mapping that a gather changes is in doubt from the call to the release of the gather's batch:
 * old and new are allowed, neither is demanded. A frame belongs to a domain from the grant until
 * the batch that unmapped it gives it back.
 */
#pragma once

#include <iommu/domain.h>
#include <tests/model/unit.h>

#define DOMAINS 3
#define NOBODY 0
#define LEAVING 0x80 /* its batch will give it back; or'ed to the owner */
#define MODEL_OWNER(slot) ((u16)(10 + (slot)))

/* What devices can be given, as one array: some windows of the device's address space. */
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
	u16 pending; /* all of the domain's batches that have it in doubt */
	u16 unknown; /* those that have had it lead to yet another frame */
	u8 perm; /* what is asked for */
	u8 sure, may; /* demanded; allowed */
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
	struct ranges unmapped; /* frames, as often as they were */
	struct ranges leaving; /* frames */
};

struct model_domain {
	bool alive, destroying;
	struct iommu_domain *d;
	u16 did;
	struct mapping *map;
	bool *used; /* by parts of map: something was ever there */
	struct model_batch batch[BATCHES_PER_DOMAIN];
	bool reserved; /* a device with reserved memory was attached since everything was quiet */
};

struct model_device {
	int domain; /* -1: none */
	bool ats, detaching;
	bool sure; /* what is mapped must be reached */
};

extern struct model_domain model_domains[DOMAINS];
extern struct model_device model_devices[VTD_DEVICES];

void shadow_start(void);
void shadow_stop(void);

/* Owner of a frame: NOBODY or slot + 1, perhaps LEAVING. */
u8 shadow_holder(mfn_t mfn);
void shadow_give(mfn_t mfn, u64 nr, u8 holder);
/* How many present mappings and unreleased tombstones the frame has by the record: at least, at
 * most. */
u32 shadow_mapped(mfn_t mfn);
u32 shadow_held(mfn_t mfn);

dfn_t shadow_dfn(u32 index);
/* False: dfn is in no window. */
bool shadow_index(dfn_t dfn, u32 *index);

void shadow_begin(struct model_domain *m, u32 batch);
/* Before and after iommu_map(); before iommu_unmap(). vtd_fail() if the result is impossible. */
void shadow_map_begin(struct model_domain *m, u32 batch, struct range at, mfn_t mfn, u8 perm);
void shadow_map_end(struct model_domain *m, u32 batch, struct range at, mfn_t mfn, u8 perm, bool done);
void shadow_unmap(struct model_domain *m, u32 batch, struct range at);
/* What the batch has unmapped, and is mapped nowhere else, is given back with it. */
void shadow_leave(struct model_domain *m, u32 batch);
/* The batch is released: nothing that it had in doubt may be reached as it was. */
void shadow_released(struct model_domain *m, u32 batch);
/* The domain is gone, and with it all its mappings; no cache may know it. */
void shadow_gone(struct model_domain *m);

/* Batches that are not released yet, open gathers included. */
bool shadow_batches_out(const struct model_domain *m);

/* How many frames it has mapped. */
u64 shadow_count_mapped(const struct model_domain *m);

/* It may still lead to this frame, as it did before a batch that is not released. */
bool shadow_may_be_old(const struct mapping *e, mfn_t mfn);
