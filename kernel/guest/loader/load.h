/* Loading a guest kernel: what is loaded, how the guest's memory is written, and the boot
 * protocols.
 *
 * A protocol (Multiboot, PVH, Linux's) first checks everything and finds a place for all it needs,
 * and only then writes. So a kernel that is refused leaves no trace in the guest's memory. */
#pragma once

#include <kernel/guest/vcpu/entry.h>
#include <kernel/lib/compiler.h>

#define GUEST_MAX_MODULES 16

/* A ramdisk. */
struct guest_module {
	const void *data;
	u64 len;
	const char *command_line; /* "" if there is none */
};

/* What is loaded. Anybody may have made the files of the kernel and of the modules: nothing in them
 * is trusted. */
struct guest_image {
	const u8 *kernel;
	u64 kernel_len;
	const struct guest_module *module;
	u32 nr_modules;
	const char *name; /* what Multiboot kernels find as the first word of their command line */
	const char *command_line;
	u64 ram; /* bytes of the guest's RAM */
};

/* The guest's memory. Both functions return 0 or a negative error. */
struct guest_memory {
	void *ctx;
	int (*write)(void *ctx, gpaddr_t gpa, const void *src, size_t len);
	int (*zero)(void *ctx, gpaddr_t gpa, u64 len);
};

/* One line: what is wrong, and what to do about it. */
struct loader_error {
	char text[224];
};
void loader_say(struct loader_error *e, const char *fmt, ...) __printf(2, 3);
/* For `return loader_fail(...)`. A macro, so that the compiler sees which error it is. */
#define loader_fail(e, err, ...) (loader_say(e, __VA_ARGS__), (err))
/* The same, for guest memory at gpa that cannot be written. Returns err. */
int __must_check loader_fail_write(struct loader_error *e, int err, gpaddr_t gpa);

struct boot_protocol {
	const char *name;
	/* True if the kernel contains this protocol's signature. */
	bool (*recognize)(const struct guest_image *image);
	/* Load a recognized kernel, its modules and its command line. -EINVAL (the kernel is
	 * broken), -ENOSPC (it does not fit), or what guest_memory returned; *error says it in
	 * words. */
	int (*load)(const struct guest_image *image, const struct guest_memory *memory,
		    struct guest_entry *entry, struct loader_error *error);
};
extern const struct boot_protocol multiboot1_protocol, pvh_protocol, linux_protocol;

/* Load by the first protocol that recognizes the kernel; *protocol gets its name. -ENOENT if none
 * does, or what the protocol returned. */
int __must_check guest_load(const struct guest_image *image, const struct guest_memory *memory,
			    struct guest_entry *entry, const char **protocol,
			    struct loader_error *error);
