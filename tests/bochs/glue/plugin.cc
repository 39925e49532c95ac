/* The plugin "weir" of Bochs: reads the `weir:` lines of its configuration, and puts the test
 * machine's own parts into the machine. A guest ends the machine by a write to the exit port. */
#include <bochs/glue/bochsheaders.h>
#include <bochs/glue/parts.h>
#include <csignal>
#include <sys/prctl.h>
#include <unistd.h>

/* In Bochs, by tools/bochs-edits. */
extern void (*bx_weir_write_back)(bx_phy_address address, unsigned bytes);
extern void (*bx_weir_write_back_all)(void);

using bochs::Configuration;
using bochs::Parts;

class WeirPlugin : public bx_devmodel_c
{
      public:
	WeirPlugin()
	{
		put("weir", "WEIR");
	}
	void init() override;
	void reset(unsigned) override
	{
		parts->reset();
	}

	Configuration configuration;
	std::unique_ptr<Parts> parts;
};

static WeirPlugin *plugin_instance;
#define LOG_THIS plugin_instance->

static constexpr unsigned exit_port = 0x501;

[[noreturn]] static void end(int status)
{
	const std::string &report = plugin_instance->configuration.report;

	if (!report.empty())
		plugin_instance->parts->report(report);
	fflush(nullptr);
	_exit(status);
}

/* QEMU's isa-debug-exit. A machine without it reads as all ones there. */
static Bit32u read_exit_port(void *, Bit32u, unsigned)
{
	return 0;
}

static void write_exit_port(void *, Bit32u, Bit32u value, unsigned)
{
	end(static_cast<int>(value << 1 | 1));
}

static void written_back(bx_phy_address address, unsigned bytes)
{
	plugin_instance->parts->written_back(address, bytes);
}

static void all_written_back()
{
	plugin_instance->parts->all_written_back();
}

void WeirPlugin::init()
{
	parts = std::make_unique<Parts>([] { end(0); });
	std::string wrong = parts->build(configuration);
	if (!wrong.empty())
		BX_PANIC(("%s", wrong.c_str()));
	DEV_register_ioread_handler(this, read_exit_port, exit_port, "weir exit", 1);
	DEV_register_iowrite_handler(this, write_exit_port, exit_port, "weir exit", 1);
	bx_weir_write_back = written_back;
	bx_weir_write_back_all = all_written_back;
}

static Bit32s take_line(const char *, int words, char *word[])
{
	for (int i = 1; i < words; i++) {
		std::string wrong = plugin_instance->configuration.take(word[i]);
		if (!wrong.empty())
			BX_PANIC(("%s", wrong.c_str()));
	}
	return 0;
}

/* Bochs can write its configuration; ours comes from a test, which has it. */
static Bit32s save_lines(FILE *)
{
	return 0;
}

static void start(plugin_t *plugin, Bit16u type)
{
	/* The test that started it is gone, and nobody looks at the machine any more. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	plugin_instance = new WeirPlugin;
	BX_REGISTER_DEVICE_DEVMODEL(plugin, type, plugin_instance, "weir");
	bochs::Slirp::add_parameters();
	SIM->register_addon_option("weir", take_line, save_lines);
}

static void stop()
{
	bx_weir_write_back = nullptr;
	bx_weir_write_back_all = nullptr;
	SIM->unregister_addon_option("weir");
	bochs::Slirp::remove_parameters();
	delete plugin_instance;
	plugin_instance = nullptr;
}

PLUGIN_ENTRY_FOR_MODULE(weir)
{
	if (mode == PLUGIN_INIT)
		start(plugin, type);
	else if (mode == PLUGIN_FINI)
		stop();
	else if (mode == PLUGIN_PROBE)
		return PLUGTYPE_OPTIONAL;
	return 0;
}
