/* Events: what Weir tells a domain apart from its devices' interrupts. A set of bits (enum
 * weir_event), and a vector that is raised on its first vCPU when a bit is set. */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;

/* Set the bits and raise the vector. The caller holds the domain (domain_get()), or it is not
 * dying. Any context. */
void domain_event(struct domain *d, u32 events);
/* The same for the control domain, if there is one. */
void domain_event_to_control(u32 events);
/* Choose the vector, 16 to 255, or 0 for none. Pending events raise it at once. -EINVAL. */
int domain_set_event_vector(struct domain *d, u64 vector);
/* Return the bits that are set, and clear them. */
u32 domain_take_events(struct domain *d);
/* Tell domains from now on when a device of theirs is quarantined. Boot. */
void event_init(void);
