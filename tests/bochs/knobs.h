/* Named settings and counts of the test machine. The configuration sets them before the machine
 * starts, and a test sets and reads them through the control socket while it runs. */
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace bochs
{

class Knobs
{
      public:
	using Get = std::function<std::string()>;
	/* Empty: it is set. Else what is wrong with the value, for a person. */
	using Set = std::function<std::string(const std::string &)>;

	/* Each name once: "vtd0.delay". */
	void add(const std::string &name, Get get, Set set);
	/* Only to be read. */
	void add(const std::string &name, Get get);
	/* A number, or a switch (0 or 1), at this place. */
	void add(const std::string &name, uint64_t *value);
	void add(const std::string &name, bool *value);

	/* Empty: it is set. Else one line that names the knob and what helps. */
	std::string set(const std::string &name, const std::string &value);
	/* False: there is no such knob; `value` says so. */
	bool get(const std::string &name, std::string &value) const;
	std::vector<std::string> names() const;

      private:
	struct Knob {
		Get get;
		Set set;
	};
	std::map<std::string, Knob> knobs;
};

/* Decimal, or hexadecimal behind 0x; nothing else, and no sign. */
bool parse_number(const std::string &text, uint64_t &value);

} // namespace bochs
