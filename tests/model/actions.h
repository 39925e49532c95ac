/* What a random program is made of: calls into the core, with the oracle told of each, and acts
 * of the hardware. */
#pragma once

#include <tests/model/shadow.h>

#define OPEN_GATHERS 4
#define RECENT 16

/* One line of the log. */
void say(const char *fmt, ...) __printf(1, 2);

/* actions.c */
void actions_start(void);
/* All that is open is committed, answered, detached, destroyed. */
void actions_end(void);
/* What must hold when everything is quiet. */
void actions_check_quiet(void);
struct model_domain *some_domain(bool alive);
void act_create(void);
void act_destroy(void);
void act_attach(void);
void act_detach(unsigned int device);
void act_grant(void);
void act_change(void); /* map, unmap, protect in a gather */
void commit_one(void);
void actions_commit_all(void);
void answer_one(void); /* of the CPUs that a batch waits for, if there is one */

/* irtes.c */
void act_interrupt_entry(void);
void irtes_raise(void);
void irtes_check_quiet(void);
void irtes_end(void);

/* hardware.c */
void hardware_start(bool errors);
void hardware_stop(void);
void hardware_mood(void);
bool hardware_stalled(unsigned int unit);
void hardware_acts(void); /* may happen between any two accesses */
void hardware_access(void);
/* Where something happened; accesses go there. */
void remember_place(struct model_domain *m, struct range at);
void remember_device(unsigned int device);
