/* Random programs over the IOMMU core. */
#pragma once

#include <tests/model/vtd.h>

struct model_config {
	const char *name;
	struct vtd_config hardware;
	bool errors; /* time-outs, refused descriptors, unexpected answers, dead links */
	bool deaths; /* of units */
	bool virtual; /* device 5 is a virtual function of device 1 */
};

#define MODEL_CONFIGS 20u
extern const struct model_config model_configs[MODEL_CONFIGS];

/* Runs a program; returns, or ends in vtd_fail(). The random numbers determine everything; if they
 * come from a script (random.h), the end of the script ends the program. */
void program_run(const struct model_config *config, u64 steps);
u64 program_step(void);

/* Prints the last operations, for the report of a failure. */
void program_print_log(void);
