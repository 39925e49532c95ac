/* Loading a guest kernel: what is loaded, how its memory is written, and where its first vCPU
 * starts.
 *
 * A protocol (multiboot1, PVH, Linux') first checks everything
 * and finds a place for all it needs, and only then writes; so a kernel that is refused has left no
 * trace in the guest's memory.
 */
#pragma once

#include <kernel/guest/vcpu/entry.h>
#include <kernel/lib/compiler.h>
#include <kernel/lib/rangeset.h>

struct guest_module {
	const void *data;
	u64 len;
	const char *command_line; /* "" if there is none */
};

/* What the administrator gave. The kernel and the modules come from files that anybody may have
 * made: nothing in them is believed. */
struct guest_image {
	const u8 *kernel;
	u64 kernel_len;
	const struct guest_module *module;
	u32 nr_modules;
	const char *command_line;
	u64 ram; /* bytes */
};

/* The guest's memory. Both return 0 or a negative error. */
struct guest_memory {
	void *ctx;
	int (*write)(void *ctx, gpaddr_t gpa, const void *src, size_t len);
	int (*zero)(void *ctx, gpaddr_t gpa, u64 len);
};

/* One line: what is wrong and what to do about it. */
struct loader_error {
	char text[224];
};
void loader_say(struct loader_error *e, const char *fmt, ...) __printf(2, 3);
/* For `return loader_fail(...)`. A macro, so that the compiler sees which error it is. */
#define loader_fail(e, err, ...) (loader_say(e, __VA_ARGS__), (err))

/* --- memory --------------------------------------------------------------------------------------------------------- */

#define GUEST_LOW_END                                                                              \
	0x9fc00UL /* usable RAM below 1 MiB ends here, as where a PC's extended BIOS data area begins */
#define GUEST_HIGH_START 0x100000UL
#define GUEST_HOLE_START 0xc0000000UL /* RAM stops here ... */
#define GUEST_HOLE_END 0x100000000UL /* ... and goes on here */

#define GUEST_MAP_ENTRIES 4
/* A guest's memory map, types as in E820 (1 usable, 2 reserved). Returns the number of entries. */
struct guest_map_entry {
	gpaddr_t base;
	u64 len;
	u32 type;
};
u32 guest_memory_map(u64 ram, struct guest_map_entry map[GUEST_MAP_ENTRIES]);

/* Which usable guest memory is still free while a guest is put together. */
struct guest_layout {
	u64 ram;
	struct rangeset free;
	struct range storage[64];
};
void layout_init(struct guest_layout *l, u64 ram);
/* Occupy [gpa, gpa + len) for what a kernel insists on. -ERANGE if not all of it is usable RAM.
 * Pieces may overlap. */
int __must_check layout_claim(struct guest_layout *l, gpaddr_t gpa, u64 len);
/* Find room for what may lie anywhere below 4 GiB and occupy it: the lowest place from 64 KiB up,
 * or the highest. Whole pages. False if there is none. */
bool __must_check layout_place_low(struct guest_layout *l, u64 len, gpaddr_t *gpa);
bool __must_check layout_place_high(struct guest_layout *l, u64 len, gpaddr_t *gpa);
/* Place nothing above `last` from here on. */
void layout_leave_above(struct guest_layout *l, gpaddr_t last);
/* The largest piece that layout_place_*() could give. */
u64 layout_largest(const struct guest_layout *l);

/* --- protocols -------------------------------------------------------------------------------------------------------- */

struct boot_protocol {
	const char *name;
	/* True if the kernel carries this protocol's mark. */
	bool (*recognize)(const struct guest_image *image);
	/* Load a kernel that was recognised, its modules, its command line. -EINVAL (the kernel is
	 * broken), -ENOSPC (it does not fit), or what guest_memory returned; *error says it in
	 * words. */
	int (*load)(const struct guest_image *image, const struct guest_memory *memory,
		    struct guest_entry *entry, struct loader_error *error);
};
extern const struct boot_protocol multiboot1_protocol, pvh_protocol, linux_protocol;

/* Load by the first protocol that recognises the kernel; *protocol gets its name. -ENOENT if none
 * does. */
int __must_check guest_load(const struct guest_image *image, const struct guest_memory *memory,
			    struct guest_entry *entry, const char **protocol,
			    struct loader_error *error);

/* For the protocols: find room for the modules, page aligned and high, gpa[i] each (nr_modules of
 * them). */
int __must_check place_modules(struct guest_layout *l, const struct guest_image *image,
			       gpaddr_t *gpa, struct loader_error *error);
#define GUEST_MAX_MODULES 16
int __must_check write_modules(const struct guest_image *image, const struct guest_memory *memory,
			       const gpaddr_t *gpa, struct loader_error *error);
