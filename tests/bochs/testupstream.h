/* What is above a device in host tests: it writes down each request, lets through what the test
 * wants, and translates by a map of pages. */
#pragma once

#include <map>
#include <vector>
#include <bochs/upstream.h>

namespace bochs
{

class TestUpstream : public Upstream
{
      public:
	enum class Kind { read, write, read_translated, write_translated, translate, message };
	struct Request {
		Kind kind;
		SourceId source;
		uint64_t address;
		unsigned bytes;
		uint32_t data; /* of a message */
	};

	explicit TestUpstream(Machine &in) : machine(in)
	{
	}
	bool read(SourceId source, uint64_t address, void *to, unsigned bytes) override
	{
		return do_read(Kind::read, source, address, to, bytes);
	}
	bool write(SourceId source, uint64_t address, const void *from, unsigned bytes) override
	{
		return do_write(Kind::write, source, address, from, bytes);
	}
	bool read_translated(SourceId source, uint64_t address, void *to, unsigned bytes) override
	{
		return do_read(Kind::read_translated, source, address, to, bytes);
	}
	bool write_translated(SourceId source, uint64_t address, const void *from,
			      unsigned bytes) override
	{
		return do_write(Kind::write_translated, source, address, from, bytes);
	}
	Translation translate(SourceId source, uint64_t address, bool write) override
	{
		requests.push_back({ Kind::translate, source, address, write, 0 });
		for (const auto &one : translations)
			if (address - one.first < one.second.bytes)
				return one.second;
		return {};
	}
	void message(SourceId source, uint64_t address, uint32_t data) override
	{
		requests.push_back({ Kind::message, source, address, 4, data });
		if (on_message)
			on_message();
	}
	unsigned count(Kind kind) const
	{
		unsigned sum = 0;

		for (const Request &request : requests)
			sum += request.kind == kind;
		return sum;
	}

	std::vector<Request> requests;
	std::map<uint64_t, Translation> translations;
	bool blocked = false;
	std::function<void()> on_message;

      private:
	bool do_read(Kind kind, SourceId source, uint64_t address, void *to, unsigned bytes)
	{
		requests.push_back({ kind, source, address, bytes, 0 });
		if (!blocked)
			machine.read(address, to, bytes);
		return !blocked;
	}
	bool do_write(Kind kind, SourceId source, uint64_t address, const void *from,
		      unsigned bytes)
	{
		requests.push_back({ kind, source, address, bytes, 0 });
		if (!blocked)
			machine.write(address, from, bytes);
		return !blocked;
	}

	Machine &machine;
};

} // namespace bochs
