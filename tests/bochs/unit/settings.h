/* How a unit behaves within (or against) its specification: times, whims, errors on demand. A test
 * changes these while the machine runs. */
#pragma once

#include <bochs/knobs.h>
#include <bochs/unit/features.h>

namespace bochs
{

enum class Hang { none, gcmd, queue, status };
enum class PlannedError { none, iqe, ite, ice };

struct Settings {
	/* Nanoseconds that a descriptor takes, and what is added to them. */
	uint64_t delay = 0;
	uint64_t delay_random = 0; /* the most that chance adds */
	uint64_t delay_context = 0, delay_iotlb = 0, delay_device = 0, delay_interrupt = 0,
		 delay_wait = 0;
	uint64_t unfair = 0; /* one in so many descriptors takes `unfair_delay` more; 0: none */
	uint64_t unfair_delay = 0;
	uint64_t delay_command = 0; /* of GCMD, PMEN, CCMD and IOTLB_REG */
	uint64_t timeout = 1000000000; /* of a device TLB */
	bool pause = false; /* the queue fetches nothing */
	bool compress = false; /* one fault record for each source id */
	uint64_t whims = 0; /* the seed */
	Hang hang = Hang::none;
	PlannedError error = PlannedError::none;
	uint64_t error_at = 1; /* 1: the next descriptor */

	/* A setting that may let something go on, or the seed, was changed. */
	std::function<void()> changed;

	/* The knobs of the settings, and those of the features. */
	void add_to(Knobs &knobs, const std::string &name);
};

void add_features(Knobs &knobs, const std::string &name, Features &features);
/* Empty: a unit can be built like this. Else what is wrong. */
std::string check_features(const Features &features);

} // namespace bochs
