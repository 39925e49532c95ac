/* What a domain is told outside of its devices' interrupts: a set of bits (enum weir_event), and a vector that is raised on its
 * first vCPU when one is set. */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;

/* Set the bits and raise the vector. The domain must be held (domain_get()) or not be dying. Any context. */
void domain_event(struct domain *d, u32 events);
/* The same for the control domain, if there is one. */
void domain_event_to_control(u32 events);
/* Choose the vector, 16 to 255; 0: none. What is pending raises it at once. -EINVAL. */
int domain_set_event_vector(struct domain *d, u64 vector);
/* The bits that were set, and clear them. */
u32 domain_take_events(struct domain *d);
/* From now on a domain is told when one of its devices is quarantined. Boot. */
void event_init(void);
