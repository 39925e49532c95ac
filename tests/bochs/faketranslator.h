/* In place of the translator, for tests of the unit around it: it notes what it was asked to
 * invalidate, and its answer to requests is what the test has set. */
#pragma once

#include <string>
#include <vector>
#include <bochs/unit/translator.h>

namespace bochs
{

struct FakeTranslator {
	std::vector<std::string> invalidated; /* "iotlb global", "context 3" ... */
	std::string latched; /* "root", "interrupts" */
	Verdict answer; /* `bytes` 0: the address itself, to its page's end */
	Tables tables; /* as they were at the last request */
};
extern FakeTranslator fake;

} // namespace bochs
