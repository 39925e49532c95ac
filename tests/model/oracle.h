/* The oracle: its own record of what each device frame was mapped to and of who has each frame, made from nothing but the
 * calls of the program and their results. Whatever a unit lets a device reach is judged by it.
 *
 * A mapping that a gather changes is in doubt from the call to the release of the gather's batch: old and new are allowed,
 * neither is demanded. A frame is a domain's from the grant to the moment when the batch that unmapped it gives it back.
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

void oracle_start(void);
void oracle_stop(void);

/* Owner of a frame: NOBODY or slot + 1, perhaps LEAVING. */
u8 oracle_holder(mfn_t mfn);
void oracle_give(mfn_t mfn, u64 nr, u8 holder);
/* How many present mappings and unreleased tombstones the frame has by the record: at least, at most. */
u32 oracle_mapped(mfn_t mfn);
u32 oracle_held(mfn_t mfn);

dfn_t oracle_dfn(u32 index);
/* False: dfn is in no window. */
bool oracle_index(dfn_t dfn, u32 *index);

void oracle_begin(struct model_domain *m, u32 batch);
/* Around iommu_map(), iommu_protect(); before iommu_unmap(). Ends in vtd_fail() if the result cannot be. */
void oracle_map_begin(struct model_domain *m, u32 batch, struct range at, mfn_t mfn, u8 perm);
void oracle_map_end(struct model_domain *m, u32 batch, struct range at, mfn_t mfn, u8 perm, bool done);
void oracle_protect_begin(struct model_domain *m, u32 batch, struct range at, u8 perm);
void oracle_protect_end(struct model_domain *m, struct range at, u8 perm);
void oracle_unmap(struct model_domain *m, u32 batch, struct range at);
/* What the batch has unmapped, and is mapped nowhere else, is given back with it. */
void oracle_leave(struct model_domain *m, u32 batch);
/* The batch is released: nothing that it had in doubt may be reached as it was. */
void oracle_released(struct model_domain *m, u32 batch);
/* The domain is gone, and with it all its mappings; no cache may know it. */
void oracle_gone(struct model_domain *m);

/* Batches that are not released yet, open gathers included. */
bool oracle_batches_out(const struct model_domain *m);

/* How many frames it has mapped. */
u64 oracle_count_mapped(const struct model_domain *m);

/* It may still lead to this frame, as it did before a batch that is not released. */
bool oracle_may_be_old(const struct mapping *e, mfn_t mfn);

/* Judge an access: `reached` with *mfn or blocked. */
void oracle_judge(unsigned int device, dfn_t dfn, bool write, bool translated, bool reached, mfn_t mfn);
/* Judge all that the caches hold of these device frames, and walks to some of them. */
void oracle_check_range(const struct model_domain *m, struct range at);
/* All entries of all caches, superpages by samples. */
void oracle_check_caches(void);
/* Everything is quiet: references and counters are what the record says. */
void oracle_check_quiet(void);
