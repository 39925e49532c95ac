/* The actions of a random program: calls into the core, recorded in the shadow state, and actions
 * of the hardware. */
#pragma once

#include <tests/model/shadow.h>

#define OPEN_GATHERS 4
#define RECENT 16

/* Adds a line to the log. */
void say(const char *fmt, ...) __printf(1, 2);

/* actions.c */
void actions_start(void);
/* Commits all open gathers, answers, detaches all devices and destroys all domains. */
void actions_end(void);
/* What must hold when nothing is in flight. */
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
void answer_one(void); /* answers for one of the CPUs that a batch waits for, if there is one */

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
void hardware_acts(void); /* may happen between any two memory accesses */
void hardware_access(void);
/* Where something happened: accesses are made near such places. */
void remember_place(struct model_domain *m, struct range at);
void remember_device(unsigned int device);
