/* What the control domain is told by its privileged hypercalls (kernel/abi/hypercall.h). */
#pragma once

#include <stdint.h>

enum weir_domain_state {
	WEIR_DOMAIN_BUILDING,
	WEIR_DOMAIN_RUNNING,
	WEIR_DOMAIN_DYING,
	WEIR_DOMAIN_RESTARTING, /* on its way to its next start */
};

struct weir_domain_info {
	uint16_t id;
	uint8_t state; /* enum weir_domain_state */
	uint8_t control; /* 1: has this privilege */
	uint32_t nr_vcpus;
	uint64_t pages_owned, pages_limit; /* of 4 KiB */
	char name[32];
	uint64_t balloon_asked,
		balloon_given; /* pages that it shall give back, and has given by its driver's word */
	uint8_t has_balloon;
	uint8_t reserved[7];
};

enum weir_device_state {
	WEIR_DEVICE_FREE,
	WEIR_DEVICE_ATTACHING,
	WEIR_DEVICE_ATTACHED,
	WEIR_DEVICE_DETACHING,
	WEIR_DEVICE_QUARANTINED, /* attached, but blocked because it misbehaved */
};

struct weir_device_info {
	uint64_t device; /* segment << 16 | bus << 8 | device << 3 | function */
	uint16_t vendor, id;
	uint16_t class; /* base class << 8 | subclass */
	uint16_t owner; /* id of the domain; 0: nobody's */
	uint8_t state; /* enum weir_device_state */
	uint8_t reserved[3];
	char reset[28]; /* how it is reset; empty: it cannot be */
	char why_not[160]; /* why it cannot be given to a domain; empty: it can */
	char why_no_ats[96]; /* why its own TLB cannot be used; empty: it can */
};

/* The machine's memory, in pages of 4 KiB. */
struct weir_memory_info {
	uint64_t free; /* in Weir's allocator */
	uint64_t reserve; /* of that, kept for Weir's own tables */
	uint64_t lent; /* to the control domain's devices, by its identity map */
	uint64_t carved; /* on its way from there to the allocator */
};

enum weir_walk_result {
	WEIR_WALK_MAPPED,
	WEIR_WALK_EMPTY, /* nothing is mapped there */
	WEIR_WALK_WAITS, /* unmapped, but the page is not released yet */
	WEIR_WALK_NOBODYS, /* the device is in no domain: all it does is blocked */
};

/* How a unit translates an address of a device. */
struct weir_walk {
	uint64_t entry[5]; /* from the root down */
	uint64_t page; /* machine address, if it is mapped or waits */
	uint32_t nr_entries;
	uint32_t top_level; /* of entry[0]; a leaf of level 1 is 4 KiB, of 2: 2 MiB, of 3: 1 GiB */
	uint32_t references; /* dev_tlb references on the page itself, and on the blocks around it */
	uint32_t block_references;
	uint16_t owner; /* the device's domain */
	uint16_t page_owner; /* that of the page; above 64: none */
	uint8_t result; /* enum weir_walk_result */
	uint8_t readable, writable;
	char page_type[17]; /* empty: it has no record, since it is no RAM */
};
