/* The record of a domain: a guest with its memory, vCPUs and devices. kernel/guest/lifecycle
 * builds, restarts and tears down domains. */
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

struct legacy;
struct module;
struct vpci;
struct vuart;
struct vvirtio;
struct weir_domain_info;

enum domain_state { DOMAIN_BUILDING, DOMAIN_RUNNING, DOMAIN_DYING, DOMAIN_RESTARTING };

/* The stages of a dying domain's tear-down; see kernel/guest/lifecycle/teardown.c. */
enum reap_stage {
	REAP_VCPUS,
	REAP_DEVICES,
	REAP_IO_TABLES,
	REAP_WAIT_IO_TABLES,
	REAP_MEMORY,
	REAP_DONE
};

/* The option restart=: what a reboot and a fatal fault of a vCPU do to the domain. */
enum restart_policy {
	RESTART_NEVER, /* both end the domain */
	RESTART_REBOOT, /* a reboot restarts it */
	RESTART_FAULT, /* a fatal fault, such as a triple fault, restarts it too, as on a PC */
};

/* The option halt=: what happens when no vCPU can ever run again. */
enum halt_policy { HALT_KEEP, HALT_RESTART, HALT_END };

/* A domain that needs more restarts than this within this time ends. */
#define RESTARTS_MAX 5u
#define RESTARTS_WINDOW_S 60u

/* See kernel/guest/lifecycle/restart.c. */
enum restart_stage {
	RESTART_DEVICES_GO,
	RESTART_MEMORY,
	RESTART_CLEAR,
	RESTART_LOAD,
	RESTART_DEVICES_COME,
	RESTART_RUN
};

struct restart {
	enum restart_policy policy;
	enum restart_stage stage;
	gfn_t gfn; /* its memory below is complete */
	bool clearing; /* memory_clear_start() was called */
	u64 loaded; /* bytes of its files, so far */
	struct guest_entry entry; /* valid once they are loaded */
	u32 nr; /* restarts since boot */
	u64 at_ns[RESTARTS_MAX]; /* times of the last ones */
};

struct domain {
	u16 id; /* 1 .. MAX_DOMAINS; the owner of its frames */
	char name[DOMAIN_NAME_MAX];
	enum domain_state state;
	struct spinlock lock; /* guards state and halted; leaf */
	bool halted; /* nothing can wake any of its vCPUs, which has been told */
	enum halt_policy halt_policy;
	u32 users; /* holders by domain_get(), atomic; tear-down waits for 0 */
	u32 event_vector, events; /* kernel/guest/domain/event.h; atomic */
	u64 interrupt_pauses; /* atomic */
	bool privileged; /* the control domain, which may use kernel/guest/exit/control.h */

	struct vm vm;
	struct vuart *uart;
	struct legacy *legacy; /* NULL: none */
	struct vvirtio *balloon; /* NULL: none */
	struct vpci *pci; /* NULL until the virtual PCI bus is built */
	const struct module *kernel; /* the module it was built from */

	struct restart restart;
	struct work reaper; /* tears the domain down, or restarts it */
	struct timer reap_timer;
	enum reap_stage reap_stage;
	gfn_t reap_gfn;
};

static inline struct domain *vcpu_domain(const struct vcpu *v)
{
	return container_of(v->vm, struct domain, vm);
}

/* --- the table of domains ------------------------------------------------- */

/* A record with a free id and empty memory, private to the caller until domain_register(). -ENOSPC:
 * MAX_DOMAINS exist; -EEXIST: the name is taken; -ENOMEM. Boot. */
int __must_check domain_create(const char *name, struct domain **out);
void domain_register(struct domain *d);
/* Free its id and its name. Holders may still read the record. */
void domain_unregister(struct domain *d);
/* Free the record. Its memory must be empty, and nobody may hold it. True if it was the last
 * domain, and no others are being built. */
bool domain_free(struct domain *d);
/* Domains are being built: until domains_complete(), none is the last one. */
void domains_begin(void);
/* True if all of them have ended already. */
bool domains_complete(void);

/* The domain with this id, or NULL if there is none or it is dying. It is not torn down before
 * domain_put(), which must come soon, because the tear-down polls for it. Any context. */
struct domain *domain_get(u16 id);
/* The first domain with this id or a higher one, dying ones included, for reading its record; NULL
 * if there is none. */
struct domain *domain_get_from(u16 id);
void domain_put(struct domain *d);
/* Fill in what a list of domains shows. */
void domain_describe(const struct domain *d, struct weir_domain_info *info);
/* Make d the control domain. Boot, once. */
void domain_make_control(struct domain *d);
/* domain_get() of the control domain. */
struct domain *domain_get_control(void);

/* --- states --------------------------------------------------------------- */

/* Start its first vCPU, unless the domain is dying. */
void domain_start(struct domain *d, const struct guest_entry *entry);
/* End a domain that could not be built. The caller has logged the reason. */
void domain_discard(struct domain *d);
/* End a domain because of what it did or needs, and log one line that says why. Its vCPUs stop, its
 * devices are reset and detached, its memory is released through the deferred path; nothing waits.
 * Any context, any number of times. */
void domain_crash(struct domain *d, const char *fmt, ...) __printf(2, 3);
/* The same on request of the guest or the control domain. */
void domain_shutdown(struct domain *d, const char *why, u64 status);
/* The guest asks for a reboot: restart the domain, or end it if its line says restart=never or it
 * reboots too often. `why` and `status` are for the log. Any context, any number of times. */
void domain_reboot(struct domain *d, const char *why, u64 status);
/* A vCPU cannot continue, because of `what`: domain_reboot() if the domain's line says
 * restart=fault, else domain_crash(). */
void domain_fault(struct domain *d, u32 vcpu, const char *what, u64 rip);

/* A vCPU has halted with interrupts disabled. If all others are in such a state too, or offline, no
 * interrupt can make any of them run, and no vCPU is left to send NMI, INIT or SIPI: tell the
 * control domain, and do what the domain's line says (halt=). The caller is an exit of a vCPU. */
void domain_look_if_halted(struct domain *d);

/* Wake all parked vCPUs, because something they may wait for has happened. Any context. */
void domain_wake(struct domain *d);
/* The same for all domains. No lock held. */
void domain_wake_all(void);
