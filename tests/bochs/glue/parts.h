/* All parts of the test machine that Bochs lacks, put together as the configuration says. */
#pragma once

#include <bochs/devices/edu.h>
#include <bochs/devices/fabric.h>
#include <bochs/devices/fileblock.h>
#include <bochs/devices/socketnet.h>
#include <bochs/devices/virtioblk.h>
#include <bochs/devices/virtionet.h>
#include <bochs/glue/bochsmachine.h>
#include <bochs/glue/configuration.h>
#include <bochs/glue/control.h>
#include <bochs/glue/ecam.h>
#include <bochs/glue/pcifunction.h>
#include <bochs/glue/slirp.h>
#include <bochs/unit/vtd.h>

namespace bochs
{

class Parts
{
      public:
	explicit Parts(std::function<void()> quit);
	/* Empty: the machine can start. Else what is wrong. */
	std::string build(const Configuration &configuration);
	void reset();
	/* Writes all knobs and their values into a file. */
	void report(const std::string &path);
	/* What a processor wrote back: for units that do not snoop. */
	void written_back(uint64_t address, unsigned bytes);
	void all_written_back();

      private:
	BochsMachine machine;
	Knobs knobs;
	AddressMap map;
	Ecam ecam;
	Fabric fabric;
	std::vector<std::unique_ptr<Vtd>> units;
	std::vector<std::unique_ptr<FileBlock>> files;
	std::vector<std::unique_ptr<Function>> functions;
	std::vector<std::unique_ptr<PciFunction>> pci_functions;
	std::unique_ptr<Slirp> slirp;
	std::unique_ptr<SocketNet> socket_net;
	Control control;

	void add_units(const Configuration &configuration);
	std::string add_functions(const Configuration &configuration);
	std::string add_net(const Configuration &configuration);
	std::string add_blk(const Configuration &configuration);
	std::string add_edu(const Configuration &configuration, unsigned index);
	std::string add_function(std::unique_ptr<Function> function, const char *description);
	std::string start_units();
};

} // namespace bochs
