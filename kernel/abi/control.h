/* The structures of the control domain's privileged hypercalls (kernel/abi/hypercall.h). */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum weir_domain_state {
	WEIR_DOMAIN_BUILDING,
	WEIR_DOMAIN_RUNNING,
	WEIR_DOMAIN_DYING,
	WEIR_DOMAIN_RESTARTING, /* stopped, and about to start again */
	WEIR_DOMAIN_HALTED, /* running, but nothing can wake any of its vCPUs */
};

struct weir_domain_info {
	uint16_t id;
	uint8_t state; /* enum weir_domain_state */
	uint8_t control; /* 1: this is the control domain */
	uint32_t nr_vcpus;
	uint64_t pages_owned, pages_limit; /* of 4 KiB */
	char name[32];
	/* Pages that it was asked to give back, and those that its driver reports as given back. */
	uint64_t balloon_asked, balloon_given;
	uint8_t has_balloon;
	uint8_t reserved[7];
};
_Static_assert(sizeof(struct weir_domain_info) == 80, "a change needs a new version");
_Static_assert(offsetof(struct weir_domain_info, name) == 24, "a change needs a new version");

enum weir_device_state {
	WEIR_DEVICE_FREE,
	WEIR_DEVICE_ATTACHING,
	WEIR_DEVICE_ATTACHED,
	WEIR_DEVICE_DETACHING,
	WEIR_DEVICE_QUARANTINED, /* attached, but blocked from all memory because of a fault */
	WEIR_DEVICE_GONE, /* it does not answer, or another is in its place; it may have an owner */
};

struct weir_device_info {
	uint64_t device; /* segment << 16 | bus << 8 | device << 3 | function */
	uint16_t vendor, id;
	uint16_t class; /* base class << 8 | subclass */
	uint16_t owner; /* id of the domain; 0: none */
	uint8_t state; /* enum weir_device_state */
	uint8_t reserved[3];
	char reset[28]; /* how it is reset; empty: it cannot be reset */
	char why_not[160]; /* why it cannot be attached to a domain; empty: it can be */
	char why_no_ats[96]; /* why its own TLB cannot be used; empty: it can be */
};
_Static_assert(sizeof(struct weir_device_info) == 304, "a change needs a new version");
_Static_assert(offsetof(struct weir_device_info, reset) == 20, "a change needs a new version");

/* The machine's memory, in pages of 4 KiB. */
struct weir_memory_info {
	uint64_t free; /* in Weir's allocator */
	uint64_t reserve; /* of that, kept for Weir's own tables */
	uint64_t lent; /* to the control domain's devices, in its identity map */
	uint64_t carved; /* taken back from there, but not free yet */
};
_Static_assert(sizeof(struct weir_memory_info) == 32, "a change needs a new version");

enum weir_walk_result {
	WEIR_WALK_MAPPED,
	WEIR_WALK_EMPTY, /* nothing is mapped there */
	WEIR_WALK_WAITS, /* unmapped, but the page is not released yet */
	WEIR_WALK_NOBODYS, /* the device is in no domain: all its accesses are blocked */
};

/* How a unit translates an address for a device. */
struct weir_walk {
	uint64_t entry[5]; /* from the root down */
	uint64_t page; /* machine address, if it is mapped or waiting for its release */
	uint32_t nr_entries;
	uint32_t top_level; /* of entry[0]; leaves of levels 1, 2, 3 map 4 KiB, 2 MiB, 1 GiB */
	/* dev_tlb references on the page itself, and on the blocks around it */
	uint32_t references, block_references;
	uint16_t owner; /* the device's domain */
	uint16_t page_owner; /* the page's domain; above 64: none */
	uint8_t result; /* enum weir_walk_result */
	uint8_t readable, writable;
	char page_type[17]; /* empty: the page is not RAM, so it has no record */
};
_Static_assert(sizeof(struct weir_walk) == 88, "a change needs a new version");
_Static_assert(offsetof(struct weir_walk, page_type) == 71, "a change needs a new version");

/* A position in the log, in bytes since Weir's start. */
struct weir_log_position {
	uint64_t next; /* in: where to read (0: the oldest line there is); out: where to continue */
	uint64_t end; /* out: the end of the newest line */
};
_Static_assert(sizeof(struct weir_log_position) == 16, "a change needs a new version");

#define WEIR_SCREEN_COLUMNS 80
#define WEIR_SCREEN_ROWS 25
#define WEIR_SCREEN_NO_CURSOR 0xffff

/* A text screen as on a PC. */
struct weir_screen {
	uint16_t columns, rows;
	uint16_t cursor; /* the cell that has it; WEIR_SCREEN_NO_CURSOR: it is not to be seen */
	uint16_t reserved;
	/* Row by row: a character (code page 437), with its attribute in the high byte. */
	uint16_t cell[WEIR_SCREEN_COLUMNS * WEIR_SCREEN_ROWS];
};
_Static_assert(sizeof(struct weir_screen) == 4008, "a change needs a new version");
_Static_assert(offsetof(struct weir_screen, cell) == 8, "a change needs a new version");
