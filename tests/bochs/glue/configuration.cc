/* See configuration.h. */
#include <bochs/glue/configuration.h>

#include <bochs/knobs.h>
#include <cstdio>

namespace bochs
{

/* BB:DD.F, in hexadecimal. */
static bool parse_source(const std::string &text, SourceId &source)
{
	unsigned bus, device, function;
	char more;

	if (sscanf(text.c_str(), "%2x:%2x.%1x%c", &bus, &device, &function, &more) != 3 ||
	    device > 31 || function > 7)
		return false;
	source = static_cast<SourceId>(bus << 8 | device << 3 | function);
	return true;
}

bool *Configuration::find_switch(const std::string &name)
{
	if (name == "net")
		return &net;
	if (name == "net.ats")
		return &net_ats;
	if (name == "blk.ats")
		return &blk_ats;
	if (name == "blk.readonly")
		return &blk_read_only;
	for (unsigned i = 0; i < most_edus; i++) {
		std::string edu_name = "edu" + std::to_string(i);
		if (name == edu_name + ".ats")
			return &edu_ats[i];
		if (name == edu_name + ".acs")
			return &edu_acs[i];
	}
	return nullptr;
}

std::string Configuration::take_number(const std::string &name, const std::string &value,
				       bool &known)
{
	bool *place = find_switch(name);

	known = true;
	if (place) {
		*place = value == "1";
		return value == "0" || value == "1" ? "" : "0 or 1 is needed";
	}
	if (name == "units")
		return parse_number(value, units) && (units == 1 || units == 2) ?
			       "" :
			       "1 or 2 is needed";
	if (name == "edu")
		return parse_number(value, edu) && edu <= most_edus ? "" : "up to 8 is needed";
	known = false;
	return "";
}

std::string Configuration::take_text(const std::string &name, const std::string &value, bool &known)
{
	SourceId source;

	known = true;
	if (name == "scope1") {
		if (!parse_source(value, source))
			return "BUS:DEVICE.FUNCTION is needed, like 00:05.0";
		below_unit_1.push_back(source);
	} else if (name == "net.hostfwd") {
		forwards.push_back(value);
	} else if (name == "net.socket") {
		net_socket = value;
	} else if (name == "blk") {
		blk = value;
	} else if (name == "control") {
		control = value;
	} else if (name == "report") {
		report = value;
	} else {
		known = false;
	}
	return "";
}

std::string Configuration::take(const std::string &word)
{
	size_t equals = word.find('=');
	bool known = false;

	if (equals == std::string::npos || equals == 0)
		return "weir: " + word + ": NAME=VALUE is needed";
	std::string name = word.substr(0, equals), value = word.substr(equals + 1);
	std::string wrong = take_number(name, value, known);
	if (!known)
		wrong = take_text(name, value, known);
	if (!known)
		knobs.emplace_back(name, value);
	return wrong.empty() ? "" : "weir: " + word + ": " + wrong;
}

} // namespace bochs
