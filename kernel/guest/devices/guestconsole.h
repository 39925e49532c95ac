/* The console of the guest that the control domain has selected. The guest's output goes to the
 * control domain instead of the log, and what the control domain sends is the guest's input. Weir
 * passes the bytes on without interpreting them. */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;

/* --- the privileged hypercalls (kernel/abi/hypercall.h) ------------------- */

/* See WEIR_HC_CONSOLE_SELECT, WEIR_HC_CONSOLE_READ and WEIR_HC_CONSOLE_WRITE. No lock is held. */
s64 guestconsole_select(struct domain *caller, u64 id);
s64 guestconsole_read(struct domain *caller, gpaddr_t gpa, u64 size);
s64 guestconsole_write(struct domain *caller, gpaddr_t gpa, u64 size);
/* The control domain has stopped: deselect the guest. */
void guestconsole_release(void);

/* --- for the UARTs of guests ---------------------------------------------- */

/* True if the guest with this id can write more. A guest that is not selected always can. */
bool guestconsole_has_room(u16 id);
/* Pass on one character of its output. False: the guest is not selected, and c belongs in the log.
 * *tell is set if there was nothing to read before: call guestconsole_tell() after unlocking the
 * UART. The UART may be locked. */
bool guestconsole_put(u16 id, u8 c, bool *tell);
/* Send the control domain the event that there is output to read. No lock is held. */
void guestconsole_tell(void);
