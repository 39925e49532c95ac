/* The record of a domain: a guest with its memory, its vCPUs and its devices. How it is built, started again and torn
 * down is in kernel/guest/lifecycle. */
#pragma once

#include <kernel/abi/hypercall.h>
#include <kernel/core/clock.h>
#include <kernel/core/spinlock.h>
#include <kernel/core/work.h>
#include <kernel/guest/vcpu/entry.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/guest/vcpu/vm.h>
#include <kernel/lib/compiler.h>

#define DOMAIN_NAME_MAX 32
#define MAX_DOMAINS 64

struct module;
struct vpci;
struct vuart;
struct vvirtio;
struct weir_domain_info;

enum domain_state { DOMAIN_BUILDING, DOMAIN_RUNNING, DOMAIN_DYING, DOMAIN_RESTARTING };

/* How far the tear-down of a dying domain has come; see kernel/guest/lifecycle/teardown.c. */
enum reap_stage {
	REAP_VCPUS,
	REAP_DEVICES,
	REAP_IO_TABLES,
	REAP_WAIT_IO_TABLES,
	REAP_MEMORY,
	REAP_DONE
};

/* What restart= says: when the guest reboots, and when a vCPU cannot go on. */
enum restart_policy {
	RESTART_NEVER, /* both end it */
	RESTART_REBOOT, /* a reboot starts it again */
	RESTART_FAULT, /* so does a triple fault, as on a PC */
};

/* So many restarts within this time, and one more ends the domain. */
#define RESTARTS_MAX 5u
#define RESTARTS_WINDOW_S 60u

/* See kernel/guest/lifecycle/restart.c. */
enum restart_stage {
	RESTART_DEVICES_GO,
	RESTART_MEMORY,
	RESTART_LOAD,
	RESTART_DEVICES_COME,
	RESTART_RUN
};

struct restart {
	enum restart_policy policy;
	enum restart_stage stage;
	gfn_t gfn; /* so far its memory is renewed */
	u64 loaded; /* bytes of its files */
	struct guest_entry entry; /* once they are loaded */
	u32 nr; /* restarts */
	u64 at_ns[RESTARTS_MAX]; /* of the last ones */
};

struct domain {
	u16 id; /* 1 .. MAX_DOMAINS; the owner of its frames */
	char name[DOMAIN_NAME_MAX];
	enum domain_state state;
	struct spinlock lock; /* guards state; leaf */
	u32 users; /* of domain_get(), atomic: it is not torn down before they are gone */
	u32 event_vector, events; /* kernel/guest/domain/event.h; atomic */
	u64 interrupt_pauses; /* atomic */
	bool privileged; /* the control domain: it may ask more (kernel/guest/exit/control.h) */

	struct vm vm;
	struct vuart *uart;
	struct vvirtio *balloon; /* NULL: none */
	struct vpci *pci; /* NULL until the virtual PCI bus was built */
	const struct module *kernel; /* what it was built from */

	struct restart restart;
	struct work reaper; /* tears it down once it is dying, or starts it again */
	struct timer reap_timer;
	enum reap_stage reap_stage;
	gfn_t reap_gfn;
};

static inline struct domain *vcpu_domain(const struct vcpu *v)
{
	return container_of(v->vm, struct domain, vm);
}

/* --- the table of domains ------------------------------------------------- */

/* A record with a free id and empty memory. Nobody else sees it before domain_register(). -ENOSPC: MAX_DOMAINS, -EEXIST:
 * the name is taken, -ENOMEM. Boot. */
int __must_check domain_create(const char *name, struct domain **out);
void domain_register(struct domain *d);
/* Its id and its name are free again; those who hold it may still look at it. */
void domain_unregister(struct domain *d);
/* The record goes; its memory is empty, and nobody holds it. True if it was the last one. */
bool domain_free(struct domain *d);
/* Domains that exist, dying ones included. */
u32 domain_count(void);

/* The domain with this id, or NULL: there is none, or it is dying. It stays as it is until domain_put(), which must come
 * soon: the tear-down polls for it. Any context. */
struct domain *domain_get(u16 id);
/* The first domain with this id or a higher one, dying ones included, to look at its record; NULL: there is none. */
struct domain *domain_get_from(u16 id);
void domain_put(struct domain *d);
/* What a list shows of it. */
void domain_describe(const struct domain *d, struct weir_domain_info *info);
/* From now on d is the control domain. Boot, once. */
void domain_make_control(struct domain *d);
/* domain_get() of the control domain. */
struct domain *domain_get_control(void);

/* --- states --------------------------------------------------------------- */

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
/* The guest wants it: start it again, or end it, if its line says restart=never or it does that too often. `why` and `status`
 * are for the log. Any context, any number of times. */
void domain_reboot(struct domain *d, const char *why, u64 status);
/* A vCPU cannot go on (`what` happened to it): the same if its line says restart=fault, else domain_crash(). */
void domain_fault(struct domain *d, u32 vcpu, const char *what, u64 rip);

/* Wake all parked vCPUs: something that they may wait for is gone. Any context. */
void domain_wake(struct domain *d);
/* All domains' parked vCPUs. No lock held. */
void domain_wake_all(void);
