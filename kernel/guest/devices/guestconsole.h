/* The console of one guest in the control domain's hands: what the selected guest writes goes to the control domain instead of the
 * log, and what that sends is the guest's input. Weir passes the bytes on and looks at none. */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;

/* --- the privileged hypercalls (kernel/abi/hypercall.h) -------------------------------------------------------------------------- */

s64 guestconsole_select(struct domain *caller, u64 id);
s64 guestconsole_read(struct domain *caller, gpaddr_t gpa, u64 size);
s64 guestconsole_write(struct domain *caller, gpaddr_t gpa, u64 size);
/* The control domain is stopped: nothing is selected. */
void guestconsole_release(void);

/* --- for the UARTs of guests ------------------------------------------------------------------------------------------------------ */

/* Whether the guest with this id can write more. One that is not selected always can. */
bool guestconsole_has_room(u16 id);
/* False: the guest is not selected, c is for the log. *tell: there was nothing to read before; then the control domain is to be
 * told, by guestconsole_tell(), when the UART is unlocked. */
bool guestconsole_put(u16 id, u8 c, bool *tell);
void guestconsole_tell(void);
