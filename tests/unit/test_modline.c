/* sources: kernel/guest/loader/modline.c kernel/lib/pci_id.c */
/* Module lines: what each word means, each message, and that no text causes harm. */
#include "modline_check.h"

static struct module_line m;
static struct module_error e;

static void good(const char *line)
{
	int err = modline_parse(line, &m, &e);

	if (err)
		fail_msg("\"%s\" was refused: %s", line, e.text);
}

/* The message must name the word and give the fix. */
static void bad(const char *line, const char *word, const char *remedy)
{
	assert_int_equal(modline_parse(line, &m, &e), -EINVAL);
	if (!strstr(e.text, word) || !strstr(e.text, remedy))
		fail_msg("\"%s\": message \"%s\" lacks \"%s\" or \"%s\"", line, e.text, word,
			 remedy);
	check_documented(e.text);
}

static void test_full_line(void **state)
{
	(void)state;
	good("kernel name=net0 mem=64M vcpus=2 pci=00:03.0,01:1f.7,ats prio=9 cpu=3 "
	     "restart=fault halt=end legacy=off balloon control pci=0001:ff:00.1 -- a=b  -- c ");
	assert_int_equal(m.kind, MODULE_KERNEL);
	assert_string_equal(m.domain, "net0");
	assert_int_equal(m.memory, 64 << 20);
	assert_int_equal(m.vcpus, 2);
	assert_int_equal(m.priority, 9);
	assert_int_equal(m.cpu, 3);
	assert_int_equal(m.nr_devices, 3);
	assert_int_equal(m.device[0].segment, 0);
	assert_int_equal(m.device[0].bdf, PCI_BDF(0, 3, 0));
	assert_int_equal(m.device[1].bdf, PCI_BDF(1, 0x1f, 7));
	assert_false(m.ats[0]);
	assert_true(m.ats[1]);
	assert_false(m.ats[2]);
	assert_true(m.control);
	assert_int_equal(m.restart, RESTART_FAULT);
	assert_int_equal(m.halt, HALT_END);
	assert_true(m.balloon);
	assert_false(m.legacy);
	assert_int_equal(m.device[2].segment, 1);
	assert_int_equal(m.device[2].bdf, PCI_BDF(0xff, 0, 1));
	assert_string_equal(m.command_line, "a=b  -- c ");
}

static void test_defaults_and_file_names(void **state)
{
	static const char *const lines[] = {
		"kernel name=a mem=2M",
		"/boot/a.elf kernel name=a mem=2M",
		"(cd0)/boot/a.elf\tkernel  mem=2048k name=a --",
		"  kernel name=a mem=2M\n",
		"kernel name=a mem=2m -- ",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		good(lines[i]);
		assert_string_equal(m.domain, "a");
		assert_int_equal(m.memory, 2 << 20);
		assert_int_equal(m.vcpus, 1);
		assert_int_equal(m.priority, MODLINE_DEFAULT_PRIORITY);
		assert_int_equal(m.cpu, -1);
		assert_int_equal(m.restart, RESTART_REBOOT);
		assert_int_equal(m.halt, HALT_KEEP);
		assert_false(m.control);
		assert_false(m.balloon);
		assert_true(m.legacy);
		assert_int_equal(m.nr_devices, 0);
		assert_string_equal(m.command_line, "");
	}
}

static void test_ramdisk(void **state)
{
	(void)state;
	good("ramdisk=net0");
	assert_int_equal(m.kind, MODULE_RAMDISK);
	assert_string_equal(m.domain, "net0");
	assert_string_equal(m.command_line, "");
	good("/boot/initrd ramdisk=net0 -- what it is");
	assert_string_equal(m.command_line, "what it is");
	bad("ramdisk=", "ramdisk=", "ramdisk=net0");
	bad("ramdisk=net0 mem=3M", "mem=3M", "behind \"--\"");
	bad("/boot/x ramdisk=a/b", "ramdisk=a/b", "name the domain");
}

static void test_sizes(void **state)
{
	(void)state;
	good("kernel name=a mem=1024G");
	assert_int_equal(m.memory, 1UL << 40);
	good("kernel name=a mem=3G");
	assert_int_equal(m.memory, 3UL << 30);
	good("kernel name=a mem=2052K");
	assert_int_equal(m.memory, 2052 << 10);
	static const char *const sizes[] = { "mem=",
					     "mem=64",
					     "mem=M",
					     "mem=1025G",
					     "mem=1M",
					     "mem=0G",
					     "mem=64MB",
					     "mem=-1G",
					     "mem=2050K",
					     "mem=0x40M",
					     "mem=99999999999999999999G",
					     "mem=18446744073709551617K",
					     "mem=6 4M" };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		char line[100];

		snprintf(line, sizeof(line), "kernel name=a %s", sizes[i]);
		bad(line, i == 12 ? "mem=6" : sizes[i], "mem=64M");
	}
}

static void test_messages(void **state)
{
	char line[400];

	(void)state;
	bad("", "empty module line", "kernel name=");
	bad("   ", "empty module line", "kernel name=");
	bad("/boot/a.elf", "/boot/a.elf", "go on with");
	bad("/boot/a.elf /boot/b.elf kernel", "/boot/b.elf", "begin with");
	bad("kernal name=a mem=2M", "\"kernal\"", "begin with \"kernel");
	bad("kernel name=a mme=64M", "\"mme=64M\"", "known are name= mem=");
	bad("kernel name=a mem=4M quiet", "\"quiet\"", "what follows \"--\" is the guest's");
	bad("kernel mem=64M", "no name", "name=net0");
	bad("kernel name=a", "domain a has no memory", "mem=64M");
	bad("kernel name= mem=2M", "\"name=\"", "name=net0");
	bad("kernel name=a/b mem=2M", "name=a/b", "letters, digits");
	bad("kernel name=12345678901234567890123456789012 mem=2M", "name=1234", "1 to 31");
	good("kernel name=1234567890123456789012345678901 mem=2M");
	bad("kernel name=a name=a mem=2M", "name=a", "given twice; leave one");
	bad("kernel name=a mem=2M mem=2M", "mem=2M", "given twice");
	bad("kernel control name=a mem=2M control", "control", "given twice");
	bad("kernel name=a mem=2M control=1", "control=1", "unknown word");
	bad("kernel name=a mem=2M vcpus=0", "vcpus=0", "1 to 16");
	bad("kernel name=a mem=2M vcpus=17", "vcpus=17", "1 to 16");
	bad("kernel name=a mem=2M vcpus=1x", "vcpus=1x", "vcpus=1");
	bad("kernel name=a mem=2M vcpus=18446744073709551617", "vcpus=", "1 to 16");
	bad("kernel name=a mem=2M prio=256", "prio=256", "0 to 255");
	bad("kernel name=a mem=2M cpu=256", "cpu=256", "at most 255");
	bad("kernel name=a mem=2M cpu=", "cpu=", "cpu=0");
	bad("kernel name=a mem=2M restart=no", "restart=no", "never, reboot or fault");
	bad("kernel name=a mem=2M halt=now", "halt=now", "keep, restart or end");
	bad("kernel name=a mem=2M legacy=no", "legacy=no", "on or off");
	bad("kernel name=a mem=2M legacy=on legacy=off", "legacy=off", "given twice");
	bad("kernel name=a mem=2M restart=never restart=never", "restart=never", "given twice");
	/* A long word is truncated, its fix is not; characters that cannot be printed are
	 * masked. */
	snprintf(line, sizeof(line), "kernel %0300d", 0);
	bad(line, "000...\"", "is the guest's");
	bad("kernel name=a mem=2M \x01\xff\x1b[2J", "\"???[2J\"", "unknown word");
	static const char *const pci[] = { "pci=",	    "pci=,",
					   "pci=00:03.0,",  "pci=,00:03.0",
					   "pci=3.0",	    "pci=00:3.0",
					   "pci=00:20.0",   "pci=00:03.8",
					   "pci=00:03.0x",  "pci=00:03",
					   "pci=0:00:03.0", "pci=00000:00:03.0",
					   "pci=g0:03.0",   "pci=0000:00:03.0.",
					   "pci=ats",	    "pci=00:03.0,ats,ats",
					   "pci=00-03.0" };
	for (size_t i = 0; i < ARRAY_SIZE(pci); i++) {
		snprintf(line, sizeof(line), "kernel name=a mem=2M %s", pci[i]);
		bad(line, pci[i], "pci=00:03.0 or pci=0000:00:03.0");
	}
	bad("kernel name=a mem=2M pci=00:03.0 pci=0000:00:03.0", "pci=0000:00:03.0",
	    "take one out");
	strcpy(line, "kernel name=a mem=2M");
	for (int i = 0; i < 16; i++)
		sprintf(line + strlen(line), " pci=00:%02x.0", i);
	good(line);
	assert_int_equal(m.nr_devices, 16);
	strcat(line, " pci=01:00.0");
	bad(line, "pci=01:00.0", "to another domain");
}

/* A valid line truncated everywhere, then damaged at random: there is always a result, with one
 * printable line if it is refused. */
static void test_damaged(void **state)
{
	static const char line[] = "/boot/net.elf kernel name=net0 mem=64M vcpus=2 "
				   "pci=0000:00:03.0,01:00.0 prio=3 cpu=1 -- x y";

	(void)state;
	srand(test_seed());
	for (size_t len = 0; len < sizeof(line); len++) {
		char *text = strndup(line, len); /* exact size: a read beyond it is detected */

		check_modline(text);
		free(text);
	}
	for (int round = 0; round < 50000; round++) {
		char *text = strdup(line);

		for (int n = 1 + rand() % 5; n > 0; n--)
			text[rand() % (sizeof(line) - 1)] = rand() % 4 ? " =,:.-0MkG"[rand() % 10] :
									 rand();
		check_modline(text);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_line), cmocka_unit_test(test_defaults_and_file_names),
		cmocka_unit_test(test_ramdisk),	  cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_messages),  cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
