/* What all parts of one unit share. */
#pragma once

#include <bochs/machine.h>
#include <bochs/unit/features.h>
#include <bochs/unit/registers.h>
#include <bochs/unit/settings.h>
#include <bochs/unit/translator.h>
#include <bochs/whims.h>

namespace bochs
{

struct Core {
	Core(Machine &the_machine, const std::string &the_name, const Features &the_features,
	     Settings &the_settings)
		: machine(the_machine), name(the_name), features(the_features),
		  settings(the_settings), translator(the_machine, features, tables, whims)
	{
		whims.start(the_settings.whims);
	}

	/* Software did what the specification forbids. */
	void misuse(const std::string &what)
	{
		misuses++;
		machine.log(name + ": misuse: " + what);
	}

	Machine &machine;
	const std::string name;
	const Features features;
	Settings &settings;
	Registers registers;
	Whims whims;
	Tables tables;
	Translator translator;
	uint64_t misuses = 0;
};

} // namespace bochs
