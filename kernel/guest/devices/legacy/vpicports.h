/* The ports of the interrupt controllers. */
#pragma once

#include <kernel/lib/compiler.h>

struct legacy;

/* Take the ports. -ENOSPC, -EEXIST. Boot. */
int __must_check vpicports_add(struct legacy *l);
/* Reset to the state after power-on. The lock of `l` is held. */
void vpicports_reset(struct legacy *l);
