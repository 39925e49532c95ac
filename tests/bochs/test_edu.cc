/* The DMA engine: its registers are those of QEMU's edu.
 *
 * sources: tests/bochs/knobs.cc tests/bochs/testmachine.cc
 * sources: tests/bochs/devices/configspace.cc tests/bochs/devices/msi.cc
 * sources: tests/bochs/devices/devicetlb.cc tests/bochs/devices/function.cc
 * sources: tests/bochs/devices/edu.cc
 */
#include <bochs/devices/edu.h>
#include <bochs/testmachine.h>
#include <bochs/testupstream.h>

extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
}

using namespace bochs;
using Kind = TestUpstream::Kind;

namespace
{

constexpr unsigned pcie = 0x40, msi = 0x7c;
constexpr uint64_t buffer = 0x40000, start = 1, to_memory = 2, interrupt = 4;

struct Fixture {
	TestMachine machine;
	Knobs knobs;
	TestUpstream upstream{ machine };
	Edu edu{ machine, knobs, upstream, "edu", 0x20, false };

	Fixture()
	{
		on();
	}
	void on()
	{
		edu.config_write(0x10, 4, 0xe0000000);
		edu.config_write(0x04, 2, 6);
		edu.config_write(msi + 4, 4, 0xfee00000);
		edu.config_write(msi + 12, 2, 0x44);
		edu.config_write(msi + 2, 2, 1);
	}
	uint64_t get(unsigned offset, unsigned bytes = 4)
	{
		return edu.mmio_read(0, offset, bytes);
	}
	void put(unsigned offset, uint64_t value, unsigned bytes = 4)
	{
		edu.mmio_write(0, offset, bytes, value);
	}
	void dma(uint64_t source, uint64_t destination, uint64_t count, uint64_t command)
	{
		put(0x80, source, 8);
		put(0x88, destination, 8);
		put(0x90, count, 8);
		put(0x98, start | command, 8);
	}
	std::string knob(const char *name)
	{
		std::string value;

		assert_true(knobs.get(name, value));
		return value;
	}
};

} // namespace

static void it_is_found_as_the_edu_device(void **)
{
	Fixture f;

	assert_int_equal(f.edu.config_read(0, 4), 0x11e81234);
	assert_int_equal(f.edu.bar(0).bytes, 1 << 20);
	assert_int_equal(f.edu.config_read(0x3d, 1), 0);
	assert_int_equal(f.edu.config_read(pcie, 1), 0x10);
	assert_int_equal(f.edu.config_read(msi, 1), 0x05);
	assert_int_equal(f.edu.config_read(0x100, 4), 0);
	assert_int_equal(f.get(0), 0x010000ed);
	EduOptions options;
	options.ats = options.acs = true;
	Edu other(f.machine, f.knobs, f.upstream, "edu2", 0x21, true, options);
	assert_int_equal(other.config_read(0x100, 2), 0x000f);
	assert_int_equal(other.config_read(0x108, 2), 0x000d);
}

static void liveness_is_the_inverse(void **)
{
	Fixture f;

	f.put(4, 0x12345678);
	assert_int_equal(f.get(4), 0xedcba987);
	f.put(4, 0, 2);
	assert_int_equal(f.get(4), 0xedcba987);
	assert_int_equal(f.get(4, 8), ~0ull);
}

static void factorials_are_computed(void **)
{
	Fixture f;

	f.put(8, 5);
	assert_int_equal(f.get(8), 120);
	f.put(8, 0);
	assert_int_equal(f.get(8), 1);
	f.put(8, 0xffffffff);
	assert_int_equal(f.get(8), 0);
	assert_true(f.upstream.requests.empty());
	f.put(0x20, 0xff);
	assert_int_equal(f.get(0x20), 0x80);
	f.put(8, 3);
	assert_int_equal(f.get(0x24), 1);
	assert_int_equal(f.upstream.count(Kind::message), 1);
}

static void interrupts_are_raised_and_acknowledged(void **)
{
	Fixture f;

	f.put(0x60, 0);
	assert_true(f.upstream.requests.empty());
	f.put(0x60, 6);
	assert_int_equal(f.upstream.requests.size(), 1);
	assert_int_equal(f.upstream.requests[0].address, 0xfee00000);
	assert_int_equal(f.upstream.requests[0].data, 0x44);
	assert_int_equal(f.upstream.requests[0].source, 0x20);
	assert_int_equal(f.get(0x24), 6);
	f.put(0x64, 2);
	assert_int_equal(f.get(0x24), 4);
}

static void dma_takes_its_time(void **)
{
	Fixture f;

	f.machine.write64(0x100000000, 0x1122334455667788);
	f.dma(0x100000000, buffer + 8, 8, 0);
	f.machine.advance(99999);
	assert_int_equal(f.get(0x98, 8), 1);
	assert_true(f.upstream.requests.empty());
	f.machine.advance(1);
	assert_int_equal(f.get(0x98, 8), 0);
	assert_int_equal(f.upstream.count(Kind::read), 1);
	assert_string_equal(f.knobs.set("edu.dma", "50").c_str(), "");
	f.dma(buffer + 8, 0x5000, 8, to_memory);
	f.machine.advance(50);
	assert_int_equal(f.machine.read64(0x5000), 0x1122334455667788);
	assert_int_equal(f.upstream.count(Kind::message), 0);
	assert_string_equal(f.knob("edu.transfers").c_str(), "2");
	assert_string_equal(f.knob("edu.blocked").c_str(), "0");
}

static void dma_interrupts_when_asked(void **)
{
	Fixture f;

	f.dma(buffer, 0x5000, 4, to_memory | interrupt);
	f.machine.advance(99999);
	assert_int_equal(f.upstream.requests.size(), 0);
	f.machine.advance(1);
	assert_int_equal(f.upstream.requests.size(), 2);
	assert_int_equal(f.upstream.requests[0].kind, Kind::write);
	assert_int_equal(f.upstream.requests[1].kind, Kind::message);
	assert_int_equal(f.get(0x24), 0x100);
}

static void registers_stand_while_dma_works(void **)
{
	Fixture f;

	f.dma(buffer, 0x5000, 4, to_memory);
	f.put(0x88, 0x6000, 8);
	f.put(0x98, 0, 8);
	assert_int_equal(f.get(0x88, 8), 0x5000);
	f.machine.advance(100000);
	assert_int_equal(f.upstream.requests[0].address, 0x5000);
	f.put(0x88, 0x6000, 8);
	assert_int_equal(f.get(0x88, 8), 0x6000);
}

static void dma_registers_have_halves(void **)
{
	Fixture f;

	f.put(0x80, 0x1111111122222222, 8);
	f.put(0x80, 0x33333333);
	assert_int_equal(f.get(0x80, 8), 0x33333333);
	f.put(0x84, 0x44444444);
	assert_int_equal(f.get(0x80, 8), 0x4444444433333333);
	assert_int_equal(f.get(0x84), 0x44444444);
	f.put(0x84, 5, 8);
	assert_int_equal(f.get(0x80, 8), 0x4444444433333333);
}

static void dma_stays_in_its_buffer(void **)
{
	Fixture f;

	f.dma(buffer, 0x5000, 4097, to_memory);
	f.machine.advance(100000);
	f.dma(buffer - 1, 0x5000, 4, to_memory);
	f.machine.advance(100000);
	f.dma(0x5000, buffer + 4096, 1, 0);
	f.machine.advance(100000);
	f.dma(0x5000, buffer + 1, ~0ull, 0);
	f.machine.advance(100000);
	assert_true(f.upstream.requests.empty());
	assert_int_equal(f.get(0x98, 8), 0);
	assert_string_equal(f.knob("edu.blocked").c_str(), "4");
	assert_true(f.machine.logged("edu: a transfer beyond its buffer"));
	f.dma(buffer, 0x5000, 4096, to_memory);
	f.machine.advance(100000);
	assert_int_equal(f.upstream.requests.size(), 1);
}

static void blocked_dma_is_counted_and_ends(void **)
{
	Fixture f;

	f.upstream.blocked = true;
	f.dma(buffer, 0x5000, 4, to_memory | interrupt);
	f.machine.advance(100000);
	assert_string_equal(f.knob("edu.blocked").c_str(), "1");
	assert_int_equal(f.get(0x24), 0x100);
	f.upstream.blocked = false;
	f.dma(buffer, 0x5000, 4, to_memory);
	f.edu.config_write(0x04, 2, 2);
	f.machine.advance(100000);
	assert_string_equal(f.knob("edu.blocked").c_str(), "2");
	assert_int_equal(f.upstream.count(Kind::write), 1);
}

static void flr_stops_dma_and_clears_all(void **)
{
	Fixture f;

	f.machine.write64(0x9000, ~0ull);
	f.dma(0x9000, buffer, 8, 0);
	f.machine.advance(100000);
	f.put(0x60, 1);
	f.dma(buffer, 0x5000, 8, to_memory);
	f.edu.config_write(pcie + 8, 2, 0x8000);
	assert_int_equal(f.get(0), 0xffffffff);
	f.on();
	f.machine.advance(1000000);
	assert_int_equal(f.upstream.count(Kind::write), 0);
	assert_string_equal(f.knob("edu.transfers").c_str(), "1");
	assert_int_equal(f.get(0x98, 8), 0);
	assert_int_equal(f.get(0x24), 0);
	f.machine.write64(0x5000, 7);
	f.dma(buffer, 0x5000, 8, to_memory);
	f.machine.advance(100000);
	assert_int_equal(f.machine.read64(0x5000), 0);
}

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_found_as_the_edu_device),
		cmocka_unit_test(liveness_is_the_inverse),
		cmocka_unit_test(factorials_are_computed),
		cmocka_unit_test(interrupts_are_raised_and_acknowledged),
		cmocka_unit_test(dma_takes_its_time),
		cmocka_unit_test(dma_interrupts_when_asked),
		cmocka_unit_test(registers_stand_while_dma_works),
		cmocka_unit_test(dma_registers_have_halves),
		cmocka_unit_test(dma_stays_in_its_buffer),
		cmocka_unit_test(blocked_dma_is_counted_and_ends),
		cmocka_unit_test(flr_stops_dma_and_clears_all),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
