/* The settings as knobs, and what each of them accepts. */
#include <bochs/unit/settings.h>

namespace bochs
{

namespace
{

const std::vector<std::string> hang_names = { "none", "gcmd", "queue", "status" };
const std::vector<std::string> error_names = { "none", "iqe", "ite", "ice" };

/* A knob whose value is one of some words. */
template <typename Enum>
void add_choice(Knobs &knobs, const std::string &name, const std::vector<std::string> &words,
		Enum &value, std::function<void()> changed)
{
	knobs.add(
		name, [&words, &value] { return words[static_cast<unsigned>(value)]; },
		[&words, &value, changed](const std::string &text) {
			std::string all;
			for (unsigned i = 0; i < words.size(); i++) {
				if (words[i] == text) {
					value = static_cast<Enum>(i);
					changed();
					return std::string();
				}
				all += (i ? ", " : "") + words[i];
			}
			return "one of these is needed: " + all;
		});
}

} // namespace

void Settings::add_to(Knobs &knobs, const std::string &name)
{
	auto changes = [this] {
		if (changed)
			changed();
	};

	knobs.add(name + ".delay", &delay);
	knobs.add(name + ".delay.random", &delay_random);
	knobs.add(name + ".delay.context", &delay_context);
	knobs.add(name + ".delay.iotlb", &delay_iotlb);
	knobs.add(name + ".delay.device", &delay_device);
	knobs.add(name + ".delay.interrupt", &delay_interrupt);
	knobs.add(name + ".delay.wait", &delay_wait);
	knobs.add(name + ".delay.command", &delay_command);
	knobs.add(name + ".unfair", &unfair);
	knobs.add(name + ".unfair.delay", &unfair_delay);
	knobs.add(name + ".timeout", &timeout);
	knobs.add(name + ".compress", &compress);
	knobs.add(name + ".error.at", &error_at);
	add_choice(knobs, name + ".error", error_names, error, changes);
	add_choice(knobs, name + ".hang", hang_names, hang, changes);
	knobs.add(
		name + ".pause", [this] { return pause ? "1" : "0"; },
		[this, changes](const std::string &text) {
			if (text != "0" && text != "1")
				return "0 or 1 is needed";
			pause = text == "1";
			changes();
			return "";
		});
	knobs.add(
		name + ".whims", [this] { return std::to_string(whims); },
		[this, changes](const std::string &text) {
			if (!parse_number(text, whims))
				return "a number is needed";
			changes();
			return "";
		});
}

void add_features(Knobs &knobs, const std::string &name, Features &features)
{
	const struct {
		const char *word;
		uint64_t *value;
	} numbers[] = {
		{ "base", &features.base },	  { "levels", &features.levels },
		{ "mask", &features.mask },	  { "fault_records", &features.fault_records },
		{ "domains", &features.domains }, { "width", &features.width },
	};
	const struct {
		const char *word;
		bool *value;
	} switches[] = {
		{ "only_these_levels", &features.only_these_levels },
		{ "superpages", &features.superpages },
		{ "caching_mode", &features.caching_mode },
		{ "coherent", &features.coherent },
		{ "write_buffer_flush", &features.write_buffer_flush },
		{ "page_selective", &features.page_selective },
		{ "protected_memory", &features.protected_memory },
		{ "zero_length_read", &features.zero_length_read },
		{ "drain", &features.drain },
		{ "device_tlb", &features.device_tlb },
		{ "remap_interrupts", &features.remap_interrupts },
		{ "extended_interrupts", &features.extended_interrupts },
		{ "pass_through", &features.pass_through },
		{ "snoop_control", &features.snoop_control },
		{ "posted_interrupts", &features.posted_interrupts },
	};

	for (const auto &number : numbers)
		knobs.add(name + "." + number.word, number.value);
	for (const auto &one : switches)
		knobs.add(name + "." + one.word, one.value);
}

std::string check_features(const Features &features)
{
	if (features.base & 0xfff)
		return "base: a page's address is needed";
	if (features.levels < 3 || features.levels > 5)
		return "levels: 3, 4 or 5 is needed";
	if (features.fault_records < 1 || features.fault_records > 256)
		return "fault_records: 1 to 256 are needed";
	if (features.domains > 6)
		return "domains: 0 to 6 is needed";
	if (features.mask > 52)
		return "mask: 0 to 52 is needed";
	if (features.width && (features.width < 30 || features.width > 57))
		return "width: 0, or 30 to 57 bits, is needed";
	return "";
}

} // namespace bochs
