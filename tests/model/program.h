/* Random programs over the IOMMU core. */
#pragma once

#include <tests/model/vtd.h>

struct model_config {
	const char *name;
	struct vtd_config hardware;
	bool errors; /* time-outs, refused descriptors, answers that nobody asked for */
};

#define MODEL_CONFIGS 12u
extern const struct model_config model_configs[MODEL_CONFIGS];

/* Run one; ends in vtd_fail() or returns. The random numbers decide everything; where they come
 * from a script (random.h), its end is the program's. */
void program_run(const struct model_config *config, u64 steps);
u64 program_step(void);

/* The last operations, for the report of a failure. */
void program_print_log(void);
