/* sources: tests/bochs/testmachine.cc tests/bochs/virtiodriver.cc tests/bochs/knobs.cc
 * sources: tests/bochs/devices/virtioblk.cc tests/bochs/devices/fileblock.cc
 * sources: tests/bochs/devices/virtio.cc tests/bochs/devices/virtqueue.cc
 * sources: tests/bochs/devices/function.cc tests/bochs/devices/configspace.cc
 * sources: tests/bochs/devices/msi.cc tests/bochs/devices/devicetlb.cc */
/* The virtio disk: its requests in whatever pieces the driver cuts them, its errors, and a file
 * below it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

#include <bochs/devices/fileblock.h>
#include <bochs/virtiodriver.h>

using namespace bochs;

static constexpr uint64_t HEADER = 0x100000, DATA = 0x200000, STATUS = 0x300000;
static constexpr unsigned SECTOR = BlockBackend::SECTOR;
static constexpr uint64_t SECTORS = 300;
static constexpr uint32_t IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11;
static constexpr uint8_t OK = 0, IOERR = 1, UNSUPP = 2;
static constexpr uint64_t F_RO = 1 << 5, F_FLUSH = 1 << 9;

namespace
{

struct MemoryBlock : public BlockBackend {
	std::vector<uint8_t> bytes = std::vector<uint8_t>(SECTORS * SECTOR);
	bool fixed = false, broken = false;
	unsigned flushed = 0;

	uint64_t sectors() const override
	{
		return bytes.size() / SECTOR;
	}
	bool read_only() const override
	{
		return fixed;
	}
	bool read(uint64_t sector, void *to, unsigned count) override
	{
		assert_true(sector + count <= sectors());
		memcpy(to, &bytes[sector * SECTOR], count * SECTOR);
		return !broken;
	}
	bool write(uint64_t sector, const void *from, unsigned count) override
	{
		assert_true(sector + count <= sectors());
		memcpy(&bytes[sector * SECTOR], from, count * SECTOR);
		return !broken;
	}
	bool flush() override
	{
		flushed++;
		return !broken;
	}
};

struct Bench {
	TestMachine machine;
	Knobs knobs;
	OpenUpstream upstream{ machine };
	MemoryBlock disk;
	VirtioBlk blk;
	VirtioDriver driver{ machine, blk };
	DriverQueue queue = driver_queue(0, 0x10000);
	uint32_t used_length = 0;

	explicit Bench(bool read_only = false)
		: blk(machine, knobs, upstream, "disk0", 0x0020, protect(read_only),
		      "a disk of 20 letters.")
	{
		for (unsigned i = 0; i < disk.bytes.size(); i++)
			disk.bytes[i] = i / SECTOR * 7 + i;
		driver.start(F_FLUSH | (read_only ? F_RO : 0), { &queue });
	}
	MemoryBlock &protect(bool read_only)
	{
		disk.fixed = read_only;
		return disk;
	}
	void header(uint32_t type, uint64_t sector)
	{
		machine.write64(HEADER, type);
		machine.write64(HEADER + 8, sector);
		machine.write32(STATUS, 0xee);
	}
	/* The status of a request with these buffers behind its header. */
	uint8_t request(uint32_t type, uint64_t sector, std::vector<DriverBuffer> data)
	{
		uint32_t head;

		header(type, sector);
		data.insert(data.begin(), { HEADER, 16, false });
		data.push_back({ STATUS, 1, true });
		driver.add(queue, data);
		driver.run(queue);
		assert_true(driver.used(queue, head, used_length));
		return machine.read32(STATUS) & 0xff;
	}
	void expect(const char *name, const char *value)
	{
		std::string is;

		assert_true(knobs.get(std::string("disk0.") + name, is));
		assert_string_equal(is.c_str(), value);
	}
	void expect_sectors(uint64_t at, uint64_t sector, unsigned bytes)
	{
		std::vector<uint8_t> got(bytes);

		machine.read(at, got.data(), bytes);
		assert_memory_equal(got.data(), &disk.bytes[sector * SECTOR], bytes);
	}
};

} // namespace

static void it_is_a_block_device_of_its_backends_size(void **)
{
	Bench b;

	assert_int_equal(b.blk.config_read(0, 4), 0x10421af4);
	assert_int_equal(b.driver.read(VIRTIO_CONFIG_OFFSET, 4), SECTORS);
	assert_int_equal(b.driver.read(VIRTIO_CONFIG_OFFSET + 12, 4), 254);
	assert_int_equal(b.driver.read(VIRTIO_CONFIG_OFFSET + 20, 4), SECTOR);
	assert_int_equal(b.driver.offered() & F_RO, 0);
}

static void sectors_are_read(void **)
{
	Bench b;

	assert_int_equal(b.request(IN, 5, { { DATA, 2 * SECTOR, true } }), OK);
	b.expect_sectors(DATA, 5, 2 * SECTOR);
	assert_int_equal(b.used_length, 2 * SECTOR + 1);
	assert_int_equal(b.upstream.messages.size(), 1);
	assert_int_equal(b.upstream.messages[0], 0);
	b.expect("reads", "1");
	b.expect("errors", "0");
}

static void a_long_read_is_whole(void **)
{
	Bench b;

	assert_int_equal(b.request(IN, 0, { { DATA, SECTORS * SECTOR, true } }), OK);
	b.expect_sectors(DATA, 0, SECTORS * SECTOR);
	assert_int_equal(b.used_length, SECTORS * SECTOR + 1);
}

static void sectors_are_written(void **)
{
	Bench b;
	std::vector<uint8_t> text(SECTOR, 'w');

	b.machine.write(DATA, text.data(), SECTOR);
	assert_int_equal(b.request(OUT, SECTORS - 1, { { DATA, SECTOR, false } }), OK);
	assert_memory_equal(&b.disk.bytes[(SECTORS - 1) * SECTOR], text.data(), SECTOR);
	assert_int_equal(b.used_length, 1);
	b.expect("writes", "1");
}

static void buffers_may_be_cut_anywhere(void **)
{
	Bench b;
	uint32_t head, length;

	b.header(IN, 9);
	b.driver.add(b.queue, { { HEADER, 5, false },
				{ HEADER + 5, 11, false },
				{ DATA, 100, true },
				{ DATA + 100, SECTOR - 100 + 1, true } });
	b.driver.run(b.queue);
	assert_true(b.driver.used(b.queue, head, length));
	assert_int_equal(length, SECTOR + 1);
	b.expect_sectors(DATA, 9, SECTOR);
	assert_int_equal(b.machine.read32(DATA + SECTOR) & 0xff, OK);
}

static void sectors_that_are_not_there_are_errors(void **)
{
	Bench b;

	assert_int_equal(b.request(IN, SECTORS, { { DATA, SECTOR, true } }), IOERR);
	assert_int_equal(b.used_length, 0);
	assert_int_equal(b.request(OUT, SECTORS - 1, { { DATA, 2 * SECTOR, false } }), IOERR);
	assert_int_equal(b.request(IN, ~0ull, { { DATA, SECTOR, true } }), IOERR);
	b.expect("errors", "3");
}

static void part_of_a_sector_is_an_error(void **)
{
	Bench b;

	assert_int_equal(b.request(IN, 0, { { DATA, SECTOR - 1, true } }), IOERR);
	assert_int_equal(b.request(OUT, 0, { { DATA, SECTOR + 1, false } }), IOERR);
	assert_int_equal(b.disk.bytes[1], 1);
}

static void a_flush_reaches_the_backend(void **)
{
	Bench b;

	assert_int_equal(b.request(FLUSH, 0, {}), OK);
	assert_int_equal(b.disk.flushed, 1);
	assert_int_equal(b.used_length, 1);
	b.expect("flushes", "1");
}

static void a_flush_that_was_not_negotiated_is_unsupported(void **)
{
	Bench b;

	b.queue = driver_queue(0, 0x40000);
	b.driver.start(0, { &b.queue });
	assert_int_equal(b.request(FLUSH, 0, {}), UNSUPP);
	assert_int_equal(b.disk.flushed, 0);
}

static void it_has_a_name_of_at_most_20_bytes(void **)
{
	Bench b;
	char id[21] = {};

	assert_int_equal(b.request(GET_ID, 0, { { DATA, 20, true } }), OK);
	b.machine.read(DATA, id, sizeof(id));
	assert_memory_equal(id, "a disk of 20 letters\0", 21);
	assert_int_equal(b.used_length, 21);
	assert_int_equal(b.request(GET_ID, 0, { { DATA, 19, true } }), IOERR);
}

static void other_requests_are_unsupported(void **)
{
	Bench b;

	assert_int_equal(b.request(DISCARD, 0, { { DATA, 16, false } }), UNSUPP);
	assert_int_equal(b.request(99, 0, {}), UNSUPP);
	b.expect("errors", "2");
}

static void a_read_only_disk_says_so_and_stays_as_it_is(void **)
{
	Bench b(true);

	assert_int_equal(b.driver.offered() & F_RO, F_RO);
	assert_int_equal(b.request(OUT, 0, { { DATA, SECTOR, false } }), IOERR);
	assert_int_equal(b.disk.bytes[1], 1);
	assert_int_equal(b.request(IN, 0, { { DATA, SECTOR, true } }), OK);
}

static void a_backend_that_fails_is_an_error(void **)
{
	Bench b;

	b.disk.broken = true;
	assert_int_equal(b.request(IN, 0, { { DATA, SECTOR, true } }), IOERR);
	assert_int_equal(b.request(OUT, 0, { { DATA, SECTOR, false } }), IOERR);
	assert_int_equal(b.request(FLUSH, 0, {}), IOERR);
	assert_int_equal(b.driver.status() & VIRTIO_DEVICE_NEEDS_RESET, 0);
}

static void a_test_can_let_requests_fail(void **)
{
	Bench b;

	assert_string_equal(b.knobs.set("disk0.fail", "2").c_str(), "");
	assert_int_equal(b.request(IN, 0, { { DATA, SECTOR, true } }), IOERR);
	assert_int_equal(b.request(FLUSH, 0, {}), IOERR);
	assert_int_equal(b.request(IN, 0, { { DATA, SECTOR, true } }), OK);
}

static void blocked_data_is_an_error_and_no_more_is_claimed_than_was_written(void **)
{
	Bench b;

	b.upstream.blocked.insert((DATA + 0x8000) >> 12);
	assert_int_equal(b.request(IN, 0, { { DATA, 128 * SECTOR, true } }), IOERR);
	assert_in_range(b.used_length, 0, 0x8000);
	b.expect_sectors(DATA, 0, b.used_length);
	assert_int_equal(b.request(OUT, 0, { { DATA + 0x8000, SECTOR, false } }), IOERR);
	assert_int_equal(b.disk.bytes[1], 1);
}

static void a_blocked_header_is_an_error(void **)
{
	Bench b;

	b.upstream.blocked.insert(HEADER >> 12);
	assert_int_equal(b.request(IN, 0, { { DATA, SECTOR, true } }), IOERR);
	b.expect("reads", "0");
}

static void a_request_without_header_or_status_needs_a_reset(void **)
{
	const std::vector<DriverBuffer> requests[] = {
		{ { HEADER, 15, false }, { STATUS, 1, true } },
		{ { HEADER, 16, false } },
	};

	for (const auto &request : requests) {
		Bench b;
		uint32_t head, length;

		b.driver.add(b.queue, request);
		b.driver.run(b.queue);
		assert_true(b.driver.status() & VIRTIO_DEVICE_NEEDS_RESET);
		assert_false(b.driver.used(b.queue, head, length));
	}
}

/* --- a file --------------------------------------------------------------- */

static void a_file_is_a_disk(void **)
{
	char path[] = "/tmp/fileblockXXXXXX";
	int file = mkstemp(path);
	std::vector<uint8_t> in(2 * SECTOR), out(2 * SECTOR, 'x');
	std::string wrong;

	assert_true(file >= 0);
	assert_int_equal(ftruncate(file, 4 * SECTOR + 100), 0);
	close(file);
	std::unique_ptr<FileBlock> disk = FileBlock::open(path, false, wrong);
	assert_non_null(disk.get());
	assert_int_equal(disk->sectors(), 4);
	assert_false(disk->read_only());
	assert_true(disk->write(2, out.data(), 2));
	assert_true(disk->flush());
	assert_true(disk->read(1, in.data(), 2));
	assert_int_equal(in[SECTOR - 1], 0);
	assert_int_equal(in[SECTOR], 'x');
	assert_false(disk->read(4, in.data(), 2));

	disk = FileBlock::open(path, true, wrong);
	assert_true(disk->read_only());
	assert_false(disk->write(0, out.data(), 1));
	unlink(path);
}

static void a_file_that_is_not_there_is_named(void **)
{
	std::string wrong;

	assert_null(FileBlock::open("/nowhere/disk", false, wrong).get());
	assert_non_null(strstr(wrong.c_str(), "/nowhere/disk: No such file"));
	assert_null(FileBlock::open("/tmp", true, wrong).get());
	assert_non_null(strstr(wrong.c_str(), "not a file"));
}

#define CASE(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(it_is_a_block_device_of_its_backends_size),
		CASE(sectors_are_read),
		CASE(a_long_read_is_whole),
		CASE(sectors_are_written),
		CASE(buffers_may_be_cut_anywhere),
		CASE(sectors_that_are_not_there_are_errors),
		CASE(part_of_a_sector_is_an_error),
		CASE(a_flush_reaches_the_backend),
		CASE(a_flush_that_was_not_negotiated_is_unsupported),
		CASE(it_has_a_name_of_at_most_20_bytes),
		CASE(other_requests_are_unsupported),
		CASE(a_read_only_disk_says_so_and_stays_as_it_is),
		CASE(a_backend_that_fails_is_an_error),
		CASE(a_test_can_let_requests_fail),
		CASE(blocked_data_is_an_error_and_no_more_is_claimed_than_was_written),
		CASE(a_blocked_header_is_an_error),
		CASE(a_request_without_header_or_status_needs_a_reset),
		CASE(a_file_is_a_disk),
		CASE(a_file_that_is_not_there_is_named),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
