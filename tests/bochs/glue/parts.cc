/* See parts.h. */
#include <bochs/glue/parts.h>

#include <cstdio>

namespace bochs
{

static constexpr SourceId net_source = 3 << 3, blk_source = 4 << 3;
static constexpr uint64_t unit_base = 0xfed90000, unit_distance = 0x1000;
static constexpr MacAddress net_mac = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x03 };

/* The first two are devices of their own, the others functions of one device. */
static SourceId edu_source(unsigned index)
{
	return static_cast<SourceId>(index < 2 ? (5 + index) << 3 : 7 << 3 | (index - 2));
}

Parts::Parts(std::function<void()> quit)
	: fabric(machine, knobs), control(machine, knobs, std::move(quit))
{
}

void Parts::add_units(const Configuration &configuration)
{
	for (unsigned i = 0; i < configuration.units; i++) {
		units.push_back(std::make_unique<Vtd>(machine, knobs, "vtd" + std::to_string(i)));
		units[i]->features.base = unit_base + i * unit_distance;
		fabric.add_unit(*units[i]);
	}
	for (SourceId source : configuration.below_unit_1)
		fabric.set_unit(source, configuration.units - 1);
}

std::string Parts::add_function(std::unique_ptr<Function> function, const char *description)
{
	SourceId source = function->source();

	fabric.add_function(*function);
	pci_functions.push_back(std::make_unique<PciFunction>(machine, map, *function));
	ecam.add(source, *pci_functions.back());
	functions.push_back(std::move(function));
	return pci_functions.back()->attach(description);
}

std::string Parts::add_net(const Configuration &configuration)
{
	auto net = std::make_unique<VirtioNet>(machine, knobs, fabric, "net0", net_source, net_mac,
					       0, configuration.net_ats);

	if (configuration.net_socket.empty()) {
		slirp = std::make_unique<Slirp>(*net, net_mac);
		net->set_backend(slirp.get());
	} else {
		socket_net = std::make_unique<SocketNet>(machine, knobs, "net0", *net);
		net->set_backend(socket_net.get());
	}
	std::string wrong = add_function(std::move(net), "Weir's virtio network");
	if (!wrong.empty())
		return wrong;
	return slirp ? slirp->connect(configuration.forwards) :
		       socket_net->open(configuration.net_socket);
}

std::string Parts::add_blk(const Configuration &configuration)
{
	std::string wrong;
	auto file = FileBlock::open(configuration.blk, configuration.blk_read_only, wrong);

	if (!file)
		return wrong;
	auto blk = std::make_unique<VirtioBlk>(machine, knobs, fabric, "blk0", blk_source, *file,
					       "weir-blk0", configuration.blk_ats);
	files.push_back(std::move(file));
	return add_function(std::move(blk), "Weir's virtio disk");
}

std::string Parts::add_edu(const Configuration &configuration, unsigned index)
{
	EduOptions options;
	bool multifunction = index >= 2 && configuration.edu > 3;

	options.ats = configuration.edu_ats[index];
	options.acs = configuration.edu_acs[index];
	return add_function(std::make_unique<Edu>(machine, knobs, fabric,
						  "edu" + std::to_string(index), edu_source(index),
						  multifunction, options),
			    "Weir's edu");
}

std::string Parts::add_functions(const Configuration &configuration)
{
	std::string wrong;

	if (configuration.net)
		wrong = add_net(configuration);
	if (wrong.empty() && !configuration.blk.empty())
		wrong = add_blk(configuration);
	for (unsigned i = 0; wrong.empty() && i < configuration.edu; i++)
		wrong = add_edu(configuration, i);
	return wrong;
}

/* Software accesses registers by 4 or 8 bytes (VT-d, 11.2); of less, it may only read a part. */
static uint64_t read_register(Vtd &unit, uint64_t offset, unsigned bytes)
{
	if (bytes >= 4)
		return unit.read_register(offset, bytes);
	return unit.read_register(offset & ~UINT64_C(3), 4) >> offset % 4 * 8;
}

std::string Parts::start_units()
{
	for (std::unique_ptr<Vtd> &unit : units) {
		Vtd &at = *unit;
		std::string wrong = at.power_on();
		if (!wrong.empty())
			return wrong;
		wrong = map.add(
			at.features.base, at.register_bytes(),
			[&at](uint64_t offset, unsigned bytes) {
				return read_register(at, offset, bytes);
			},
			[this, &at](uint64_t offset, unsigned bytes, uint64_t value) {
				if (bytes >= 4)
					at.write_register(offset, bytes, value);
				else
					machine.log("a unit's register is written by bytes");
			});
		if (!wrong.empty())
			return "the registers of a unit: " + wrong;
	}
	return "";
}

std::string Parts::build(const Configuration &configuration)
{
	std::string wrong = ecam.attach(map);

	if (!wrong.empty())
		return wrong;
	add_units(configuration);
	wrong = add_functions(configuration);
	for (const auto &[name, value] : configuration.knobs)
		if (wrong.empty())
			wrong = knobs.set(name, value);
	if (wrong.empty())
		wrong = start_units();
	if (wrong.empty() && !configuration.control.empty())
		wrong = control.listen(configuration.control);
	return wrong;
}

void Parts::reset()
{
	for (std::unique_ptr<Vtd> &unit : units)
		unit->reset();
	for (std::unique_ptr<Function> &function : functions)
		function->reset();
}

void Parts::report(const std::string &path)
{
	FILE *file = fopen(path.c_str(), "w");

	if (!file)
		return machine.log("no report at " + path);
	for (const std::string &name : knobs.names()) {
		std::string value;
		knobs.get(name, value);
		fprintf(file, "%s %s\n", name.c_str(), value.c_str());
	}
	fprintf(file, "time %llu\n", static_cast<unsigned long long>(machine.now()));
	fclose(file);
}

void Parts::written_back(uint64_t address, unsigned bytes)
{
	for (std::unique_ptr<Vtd> &unit : units)
		unit->written_back(address, bytes);
}

void Parts::all_written_back()
{
	for (std::unique_ptr<Vtd> &unit : units)
		unit->all_written_back();
}

} // namespace bochs
