/* A PC's chips, which kernels that are older than ACPI, or do not trust it, insist on. A domain has
 * all of them, or, with legacy=off on its module line, none.
 *
 * To add one: write its file in this directory, with its state in struct legacy and an entry of
 * devices[] in legacy.c, which says how it takes its ports and how it is reset.
 */
#pragma once

#include <kernel/core/spinlock.h>
#include <kernel/guest/devices/legacy/vdebug.h>
#include <kernel/guest/devices/legacy/vioapic.h>
#include <kernel/guest/devices/legacy/vkbc.h>
#include <kernel/guest/devices/legacy/vpic.h>
#include <kernel/guest/devices/legacy/vpit.h>
#include <kernel/guest/devices/legacy/vpittick.h>
#include <kernel/guest/devices/legacy/vrtc.h>
#include <kernel/guest/devices/legacy/vvga.h>
#include <kernel/lib/compiler.h>

struct domain;

struct legacy {
	/* Guards all that follows. */
	struct spinlock lock;
	struct domain *domain;
	struct vpit pit;
	struct vpit_tick tick;
	struct vpic pic;
	struct vioapic ioapic;
	struct vrtc rtc;
	struct vvga vga;
	struct vkbc kbc;
};

/* Create the chips of d, with their ports. -ENOMEM, -ENOSPC, -EEXIST. Boot. */
int __must_check legacy_create(struct domain *d);
/* Set an interrupt line, 0 to 15. The lock is held, here and below. */
void legacy_set_irq(struct legacy *l, u32 irq, bool level);
/* True if an edge of this line would be a new interrupt. */
bool legacy_takes_edge(const struct legacy *l, u32 irq);
/* The interrupt controllers have changed: tell the vCPUs. */
void legacy_update(struct legacy *l);
/* The vCPUs call the timer before they enter a guest if it waits for that. */
void legacy_look(struct legacy *l);

/* Reset them to their state after power-on. No vCPU runs. Does nothing if d has none. */
void legacy_reset(struct domain *d);
/* No vCPU runs: disarm the timer. False: its interrupt is still being handled, so ask again. */
bool legacy_stop(struct domain *d);
/* Free them. Nothing uses them any longer. */
void legacy_destroy(struct domain *d);
