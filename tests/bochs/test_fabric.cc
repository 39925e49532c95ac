/* Where requests go: to the right unit, behind it to memory or a BAR, and past it to a peer of the
 * same device unless ACS redirects them. The units are stand-ins that add 1 MiB to an address.
 *
 * sources: tests/bochs/knobs.cc tests/bochs/testmachine.cc
 * sources: tests/bochs/devices/configspace.cc tests/bochs/devices/msi.cc
 * sources: tests/bochs/devices/devicetlb.cc tests/bochs/devices/function.cc
 * sources: tests/bochs/devices/fabric.cc
 */
#include <bochs/devices/fabric.h>
#include <bochs/testfunction.h>

extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
}

using namespace bochs;

namespace bochs
{

struct Vtd::Inside {
	unsigned untranslated = 0, translated = 0, translations = 0;
	SourceId source = 0;
	uint64_t message_address = 0;
	uint32_t message_data = 0;
	std::vector<uint16_t> tags;
};

Vtd::Vtd(Machine &, Knobs &, const std::string &) : inside(std::make_unique<Inside>())
{
}

Vtd::~Vtd() = default;

bool Vtd::read(SourceId source, uint64_t address, void *to, unsigned bytes)
{
	inside->untranslated++;
	inside->source = source;
	memory_read(address + 0x100000, to, bytes);
	return true;
}

bool Vtd::write(SourceId source, uint64_t address, const void *from, unsigned bytes)
{
	inside->untranslated++;
	inside->source = source;
	memory_write(address + 0x100000, from, bytes);
	return true;
}

bool Vtd::read_translated(SourceId, uint64_t address, void *to, unsigned bytes)
{
	inside->translated++;
	memory_read(address, to, bytes);
	return true;
}

bool Vtd::write_translated(SourceId, uint64_t address, const void *from, unsigned bytes)
{
	inside->translated++;
	memory_write(address, from, bytes);
	return true;
}

Translation Vtd::translate(SourceId, uint64_t address, bool)
{
	Translation t;

	inside->translations++;
	t.read = t.write = true;
	t.address = address + 0x100000;
	t.bytes = 4096;
	return t;
}

void Vtd::message(SourceId source, uint64_t address, uint32_t data)
{
	inside->source = source;
	inside->message_address = address;
	inside->message_data = data;
}

void Vtd::device_tlb_done(SourceId, uint16_t tag)
{
	inside->tags.push_back(tag);
}

/* Nobody asks it for registers: what it has seen is told by offset instead. */
uint64_t Vtd::read_register(unsigned offset, unsigned)
{
	const uint64_t seen[] = {
		inside->untranslated,	 inside->translated,
		inside->translations,	 inside->source,
		inside->message_address, inside->message_data,
		inside->tags.size(),	 inside->tags.empty() ? 0u : inside->tags.back(),
	};

	return seen[offset];
}

} // namespace bochs

namespace
{

enum {
	untranslated,
	translated,
	translations,
	source,
	message_address,
	message_data,
	answers,
	tag
};

constexpr SourceId first = 0x20, peer = 0x21, other = 0x28;
constexpr uint64_t peer_bar = 0xe0100000, other_bar = 0xe0200000;

struct Fixture {
	TestMachine machine;
	Knobs knobs;
	Fabric fabric{ machine, knobs };
	Vtd unit{ machine, knobs, "vtd0" };
	Vtd unit1{ machine, knobs, "vtd1" };
	TestFunction a{ machine, knobs, fabric, "a", first, true };
	TestFunction b{ machine, knobs, fabric, "b", peer, true };
	TestFunction c{ machine, knobs, fabric, "c", other };

	Fixture()
	{
		uint32_t at = 0xe0000000;

		fabric.add_unit(unit);
		fabric.add_unit(unit1);
		for (TestFunction *f : { &a, &b, &c }) {
			f->add_bar(0, 0x1000);
			f->add_ats();
			f->add_acs();
			fabric.add_function(*f);
			f->start(at);
			at += 0x100000;
		}
	}
	bool put(uint64_t address, uint32_t value)
	{
		return a.dma_write(address, &value, sizeof(value));
	}
	uint32_t take(uint64_t address)
	{
		uint32_t value = 0;

		assert_true(a.dma_read(address, &value, sizeof(value)));
		return value;
	}
	void acs(unsigned value)
	{
		a.config_write(0x10e, 2, value);
	}
	void ats(TestFunction &f)
	{
		f.config_write(0x106, 2, 0x8000);
	}
	unsigned shortcuts()
	{
		std::string value;

		assert_true(knobs.get("fabric.shortcuts", value));
		return static_cast<unsigned>(std::stoul(value));
	}
};

} // namespace

static void requests_go_to_memory_by_the_unit(void **)
{
	Fixture f;

	assert_true(f.put(0x5000, 7));
	assert_int_equal(f.machine.read32(0x105000), 7);
	assert_int_equal(f.take(0x5000), 7);
	assert_int_equal(f.unit.read_register(untranslated, 8), 2);
	assert_int_equal(f.unit.read_register(source, 8), first);
	assert_int_equal(f.shortcuts(), 0);
}

static void each_function_has_its_unit(void **)
{
	Fixture f;

	f.fabric.set_unit(other, 1);
	assert_true(f.put(0x5000, 7));
	uint32_t value = 3;
	assert_true(f.c.dma_write(0x6000, &value, 4));
	assert_int_equal(f.unit.read_register(untranslated, 8), 1);
	assert_int_equal(f.unit1.read_register(untranslated, 8), 1);
	assert_int_equal(f.unit1.read_register(source, 8), other);
	f.ats(f.c);
	assert_true(f.c.dma_write(0x6000, &value, 4));
	assert_int_equal(f.unit1.read_register(translations, 8), 1);
	assert_int_equal(f.unit1.read_register(translated, 8), 1);
	assert_int_equal(f.unit.read_register(translations, 8), 0);
}

static void a_peer_is_reached_past_the_unit(void **)
{
	Fixture f;

	assert_true(f.put(peer_bar + 0x10, 0x1234));
	assert_int_equal(f.b.writes, 1);
	assert_int_equal(f.b.offset, 0x10);
	assert_int_equal(f.b.bytes, 4);
	assert_int_equal(f.b.value, 0x1234);
	f.b.value = 0x777;
	assert_int_equal(f.take(peer_bar + 0x20), 0x777);
	assert_int_equal(f.unit.read_register(untranslated, 8), 0);
	assert_int_equal(f.shortcuts(), 2);
}

static void acs_redirects_to_the_unit(void **)
{
	Fixture f;

	f.acs(4);
	assert_true(f.put(peer_bar, 0x1234));
	f.take(peer_bar);
	assert_int_equal(f.b.writes + f.b.reads, 0);
	assert_int_equal(f.unit.read_register(untranslated, 8), 2);
	assert_int_equal(f.shortcuts(), 0);
	f.acs(0);
	assert_true(f.put(peer_bar, 0x1234));
	assert_int_equal(f.shortcuts(), 1);
}

static void acs_of_the_target_does_not_count(void **)
{
	Fixture f;

	f.b.config_write(0x10e, 2, 4);
	assert_true(f.put(peer_bar, 0x1234));
	assert_int_equal(f.shortcuts(), 1);
}

static void another_device_is_no_peer(void **)
{
	Fixture f;

	assert_true(f.put(other_bar, 0x1234));
	assert_int_equal(f.c.writes, 0);
	assert_int_equal(f.unit.read_register(untranslated, 8), 1);
	assert_int_equal(f.shortcuts(), 0);
}

static void its_own_bar_is_no_shortcut(void **)
{
	Fixture f;

	assert_true(f.put(0xe0000000, 1));
	assert_int_equal(f.a.writes, 0);
	assert_int_equal(f.unit.read_register(untranslated, 8), 1);
}

static void a_bar_that_is_not_decoded_is_no_target(void **)
{
	Fixture f;

	f.b.config_write(0x04, 2, 4);
	assert_true(f.put(peer_bar, 0x1234));
	assert_int_equal(f.b.writes, 0);
	assert_int_equal(f.unit.read_register(untranslated, 8), 1);
	assert_int_equal(f.shortcuts(), 0);
}

static void behind_the_unit_a_bar_is_a_target(void **)
{
	Fixture f;

	f.acs(4);
	/* The unit adds 1 MiB: from the BAR of b that leads to the one of c. */
	assert_true(f.put(peer_bar + 8, 5));
	assert_int_equal(f.c.writes, 1);
	assert_int_equal(f.c.offset, 8);
	f.c.value = 0x99;
	assert_int_equal(f.take(peer_bar + 8), 0x99);
	assert_int_equal(f.machine.read32(other_bar + 8), 0);
}

static void translated_requests_obey_their_own_switch(void **)
{
	Fixture f;

	/* The page below the peer's BAR translates to the BAR. */
	f.ats(f.a);
	assert_true(f.put(peer_bar - 0x100000, 1));
	assert_int_equal(f.shortcuts(), 1);
	f.acs(4);
	assert_true(f.put(peer_bar - 0x100000, 1));
	assert_int_equal(f.shortcuts(), 1);
	assert_int_equal(f.unit.read_register(translated, 8), 1);
	assert_int_equal(f.b.writes, 2);
	f.acs(0x44);
	assert_true(f.put(peer_bar - 0x100000, 1));
	f.take(peer_bar - 0x100000);
	assert_int_equal(f.shortcuts(), 3);
	assert_int_equal(f.unit.read_register(translated, 8), 1);
}

static void long_requests_to_a_bar_are_split(void **)
{
	Fixture f;
	uint8_t data[15] = {};

	data[14] = 0x42;
	assert_true(f.a.dma_write(peer_bar + 4, data, sizeof(data)));
	/* 4 bytes at 4, 8 at 8, 2 at 16, 1 at 18. */
	assert_int_equal(f.b.writes, 4);
	assert_int_equal(f.b.offset, 18);
	assert_int_equal(f.b.bytes, 1);
	assert_int_equal(f.b.value, 0x42);
	f.b.value = 0x0807060504030201;
	assert_true(f.a.dma_read(peer_bar + 4, data, sizeof(data)));
	assert_int_equal(data[3], 4);
	assert_int_equal(data[4], 1);
	assert_int_equal(data[11], 8);
	assert_int_equal(data[14], 1);
	assert_int_equal(f.shortcuts(), 2);
}

static void messages_go_to_the_unit(void **)
{
	Fixture f;

	f.fabric.set_unit(first, 1);
	f.fabric.message(first, 0xfee01000, 0x41);
	assert_int_equal(f.unit1.read_register(source, 8), first);
	assert_int_equal(f.unit1.read_register(message_address, 8), 0xfee01000);
	assert_int_equal(f.unit1.read_register(message_data, 8), 0x41);
	assert_int_equal(f.unit.read_register(message_address, 8), 0);
}

static void dma_to_the_interrupt_range_is_a_message(void **)
{
	Fixture f;
	uint64_t wide = 0;

	assert_true(f.put(0xfee02000, 0x55));
	assert_int_equal(f.unit.read_register(message_address, 8), 0xfee02000);
	assert_int_equal(f.unit.read_register(message_data, 8), 0x55);
	assert_int_equal(f.unit.read_register(untranslated, 8), 0);
	assert_true(f.a.dma_write(0xfee03000, &wide, 8));
	assert_int_equal(f.unit.read_register(message_address, 8), 0xfee02000);
	assert_int_equal(f.unit.read_register(untranslated, 8), 1);
}

static void invalidations_find_their_function(void **)
{
	Fixture f;

	f.ats(f.b);
	uint32_t value = 1;
	assert_true(f.b.dma_write(0x5000, &value, 4));
	assert_true(f.b.dma_write(0x5000, &value, 4));
	assert_int_equal(f.unit.read_register(translations, 8), 1);
	assert_true(f.unit.device_tlb({ first, 0x5000, 4096, false, 4 }));
	assert_true(f.b.dma_write(0x5000, &value, 4));
	assert_int_equal(f.unit.read_register(translations, 8), 1);
	assert_true(f.unit.device_tlb({ peer, 0x5000, 4096, false, 5 }));
	assert_true(f.b.dma_write(0x5000, &value, 4));
	assert_int_equal(f.unit.read_register(translations, 8), 2);
	assert_int_equal(f.unit.read_register(answers, 8), 2);
	assert_int_equal(f.unit.read_register(tag, 8), 5);
}

static void an_invalidation_without_a_device_is_refused(void **)
{
	Fixture f;
	TestFunction plain{ f.machine, f.knobs, f.fabric, "plain", 0x30 };

	f.fabric.add_function(plain);
	assert_false(f.unit.device_tlb({ 0x99, 0, 4096, false, 1 }));
	assert_false(f.unit.device_tlb({ 0x30, 0, 4096, false, 1 }));
	/* Below the other unit. */
	assert_false(f.unit1.device_tlb({ first, 0, 4096, false, 1 }));
	assert_int_equal(f.unit.read_register(answers, 8), 0);
}

static void the_answer_returns_to_its_unit(void **)
{
	Fixture f;

	f.fabric.set_unit(other, 1);
	assert_string_equal(f.knobs.set("c.tlb", "slow").c_str(), "");
	assert_true(f.unit1.device_tlb({ other, 0, 4096, false, 9 }));
	f.machine.advance(999999);
	assert_int_equal(f.unit1.read_register(answers, 8), 0);
	f.machine.advance(1);
	assert_int_equal(f.unit1.read_register(answers, 8), 1);
	assert_int_equal(f.unit1.read_register(tag, 8), 9);
	assert_int_equal(f.unit.read_register(answers, 8), 0);
}

static void functions_are_found_by_source(void **)
{
	Fixture f;

	assert_ptr_equal(f.fabric.function(peer), &f.b);
	assert_null(f.fabric.function(0x22));
}

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_go_to_memory_by_the_unit),
		cmocka_unit_test(each_function_has_its_unit),
		cmocka_unit_test(a_peer_is_reached_past_the_unit),
		cmocka_unit_test(acs_redirects_to_the_unit),
		cmocka_unit_test(acs_of_the_target_does_not_count),
		cmocka_unit_test(another_device_is_no_peer),
		cmocka_unit_test(its_own_bar_is_no_shortcut),
		cmocka_unit_test(a_bar_that_is_not_decoded_is_no_target),
		cmocka_unit_test(behind_the_unit_a_bar_is_a_target),
		cmocka_unit_test(translated_requests_obey_their_own_switch),
		cmocka_unit_test(long_requests_to_a_bar_are_split),
		cmocka_unit_test(messages_go_to_the_unit),
		cmocka_unit_test(dma_to_the_interrupt_range_is_a_message),
		cmocka_unit_test(invalidations_find_their_function),
		cmocka_unit_test(an_invalidation_without_a_device_is_refused),
		cmocka_unit_test(the_answer_returns_to_its_unit),
		cmocka_unit_test(functions_are_found_by_source),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
