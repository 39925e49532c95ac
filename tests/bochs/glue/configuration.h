/* What the `weir:` lines of Bochs' configuration say. A line of Bochs is short, so there may be
 * several, and they add up. Each word is NAME=VALUE:
 *
 *   units=1            remapping units: 1 or 2, at 0xfed90000 and 0xfed91000
 *   scope1=00:05.0     a function below unit 1 (more words, more functions); all others: unit 0
 *   edu=N              so many edu functions, up to 8: edu0 at 00:05.0, edu1 at 00:06.0, and edu2,
 *                      edu3, ... at 00:07.0, 00:07.1, ..., functions of one device
 *   eduI.ats=1         this one has ATS; eduI.acs=1: it has ACS
 *   net=1              a virtio network device at 00:03.0: net0
 *   net.ats=1          ... with ATS
 *   net.hostfwd=tcp:PORT:GUESTPORT    127.0.0.1:PORT of the host leads to the guest's
 *   net.socket=PATH    ... its network is this socket (devices/socketnet.h)
 *   blk=FILE           a virtio disk at 00:04.0 on this file: blk0; blk.readonly=1, blk.ats=1
 *   control=PATH       the control socket
 *   report=PATH        where the values of all knobs are written when the machine ends
 *
 * A word of another name is a knob that is set before the machine starts: vtd0.levels=3. */
#pragma once

#include <bochs/machine.h>
#include <string>
#include <utility>
#include <vector>

namespace bochs
{

struct Configuration {
	static constexpr unsigned most_edus = 8;

	uint64_t units = 1, edu = 0;
	bool edu_ats[most_edus] = {}, edu_acs[most_edus] = {};
	bool net = false, net_ats = false;
	bool blk_read_only = false, blk_ats = false;
	std::string net_socket, blk, control, report;
	std::vector<std::string> forwards;
	std::vector<SourceId> below_unit_1;
	std::vector<std::pair<std::string, std::string>> knobs;

	/* Empty: it is taken. Else what is wrong with it. */
	std::string take(const std::string &word);

      private:
	bool *find_switch(const std::string &name);
	std::string take_number(const std::string &name, const std::string &value, bool &known);
	std::string take_text(const std::string &name, const std::string &value, bool &known);
};

} // namespace bochs
