/* The console of one guest in the control domain's hands: the output of the selected guest goes to
 * the control domain instead of the log, and what the control domain sends is the guest's input.
 * Weir passes the bytes on and does not look at them. */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;

/* --- the privileged hypercalls (kernel/abi/hypercall.h) ------------------- */

s64 guestconsole_select(struct domain *caller, u64 id);
s64 guestconsole_read(struct domain *caller, gpaddr_t gpa, u64 size);
s64 guestconsole_write(struct domain *caller, gpaddr_t gpa, u64 size);
/* The control domain has stopped: no guest is selected any more. */
void guestconsole_release(void);

/* --- for the UARTs of guests ---------------------------------------------- */

/* Whether the guest with this id can write more. One that is not selected always can. */
bool guestconsole_has_room(u16 id);
/* One character of its output. False: the guest is not selected, c is for the log. *tell is set if
 * the control domain had nothing to read before: call guestconsole_tell() when the UART is
 * unlocked. The UART may be locked. */
bool guestconsole_put(u16 id, u8 c, bool *tell);
/* Tell the control domain that it can read. No lock is held. */
void guestconsole_tell(void);
