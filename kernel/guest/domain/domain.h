/* A domain: a guest with its memory, its vCPUs, its devices. */
#pragma once

#include <kernel/abi/hypercall.h>
#include <kernel/guest/emulate/bus.h>
#include <kernel/core/clock.h>
#include <kernel/lib/compiler.h>
#include <kernel/lib/list.h>
#include <kernel/guest/memory/nested.h>
#include <kernel/guest/lifecycle/restart.h>
#include <kernel/guest/devices/vuart.h>
#include <kernel/core/work.h>

#define DOMAIN_NAME_MAX 32
#define DOMAIN_MAX_VCPUS 16
#define MAX_DOMAINS 64

struct guest_entry;
struct iommu_domain;
struct module;
struct vcpu;
struct vpci;
struct weir_domain_info;
struct weir_stats;

enum domain_state { DOMAIN_BUILDING, DOMAIN_RUNNING, DOMAIN_DYING, DOMAIN_RESTARTING };

/* How far the tear-down of a dying domain has come; see kernel/guest/domain/domain.c. */
enum reap_stage {
	REAP_VCPUS,
	REAP_DEVICES,
	REAP_IO_TABLES,
	REAP_WAIT_IO_TABLES,
	REAP_MEMORY,
	REAP_DONE
};

struct domain {
	u16 id; /* 1 .. MAX_DOMAINS; the owner of its frames */
	char name[DOMAIN_NAME_MAX];
	enum domain_state state;
	struct spinlock lock; /* guards state; leaf */
	u32 users; /* of domain_get(), atomic: it is not torn down before they are gone */
	u32 event_vector, events; /* kernel/guest/domain/event.h; atomic */
	u64 interrupt_pauses; /* atomic */

	struct nested nested;
	struct iommu_domain *iommu;
	bool has_devices; /* what is mapped for its CPUs is mapped in the I/O tables too ... */
	bool devices_see_all; /* ... and what was there before is by now; both under nested.lock */
	bool privileged; /* the control domain: it may ask more (kernel/guest/exit/control.h) */
	bool machine_addresses; /* what its devices' addresses are (kernel/guest/memory/pool.h); control-iommu=none: those of the guest */
	u64 pages_owned, pages_limit; /* under nested.lock */

	struct bus io, mmio;
	struct vuart uart;
	struct vvirtio *balloon; /* NULL: none */
	struct vpci *pci; /* NULL until the virtual PCI bus was built */

	u32 nr_vcpus;
	struct vcpu *vcpu[DOMAIN_MAX_VCPUS];
	u64 start_ns, start_tsc;
	const struct module *kernel; /* what it was built from */
	struct restart restart;

	struct work reaper; /* tears it down once it is dying, or starts it again */
	struct timer reap_timer;
	enum reap_stage reap_stage;
	gfn_t reap_gfn;
};

/* The domain with this id, or NULL: there is none, or it is dying. It stays as it is until domain_put(), which must come
 * soon: the tear-down polls for it. Any context. */
struct domain *domain_get(u16 id);
void domain_put(struct domain *d);
/* Copy what is known of the first domain with this id or a higher one, dying ones included; its id, or 0 if there is none. Any
 * context. */
u16 domain_info(u16 id, struct weir_domain_info *info);
/* Domains that exist, dying ones included. */
u32 domain_count(void);
/* -ENOSPC: MAX_DOMAINS, -EEXIST: the name is taken, -ENOMEM. */
int __must_check domain_create(const char *name, struct domain **out);
/* Let its first vCPU run, unless the domain is dying. */
void domain_start(struct domain *d, const struct guest_entry *entry);
/* Give up one that could not be built; the reason was logged. */
void domain_discard(struct domain *d);
/* End it because of what it did or needs, with one line saying why. Its vCPUs stop, its devices are
 * reset and detached, its memory comes back through the deferred path; nothing waits. Any context,
 * any number of times. */
void domain_crash(struct domain *d, const char *fmt, ...) __printf(2, 3);
/* The same because the guest wants it, or the control domain. */
void domain_shutdown(struct domain *d, const char *why, u64 status);
/* Stop all its vCPUs, and queue what comes after: its state says what. */
void domain_stop(struct domain *d);
/* All domains: wake their parked vCPUs. No lock held. */
void domain_wake_all(void);
/* Wake all parked vCPUs: something that they may wait for is gone. Any context. */
void domain_wake(struct domain *d);
/* Its counters now (kernel/guest/exit/stats.c). The domain is the caller's, or held. */
void domain_stats(struct domain *d, struct weir_stats *s);
