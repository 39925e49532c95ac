/* Copies of the cache lines that were written back. */
#include <bochs/unit/shadow.h>

#include <algorithm>
#include <cstring>

namespace bochs
{

void Shadow::reset()
{
	lines.clear();
}

Shadow::Line Shadow::memory_line(uint64_t address)
{
	Line line = {};

	machine.read(address, line.data(), line_bytes);
	return line;
}

void Shadow::read(uint64_t address, void *to, unsigned bytes, uint64_t &stale)
{
	uint8_t *next = static_cast<uint8_t *>(to);

	while (bytes > 0) {
		uint64_t start = address / line_bytes * line_bytes;
		unsigned offset = unsigned(address - start);
		unsigned part = std::min(bytes, line_bytes - offset);
		/* A line that was looked at stays, so that WBINVD finds it. */
		const Line &line = lines[start];

		if (line != memory_line(start))
			stale++;
		memcpy(next, line.data() + offset, part);
		next += part;
		address += part;
		bytes -= part;
	}
}

void Shadow::written_back(uint64_t address, unsigned bytes)
{
	if (bytes == 0)
		return;
	uint64_t last = (address + bytes - 1) / line_bytes * line_bytes;
	for (uint64_t line = address / line_bytes * line_bytes; line <= last; line += line_bytes)
		lines[line] = memory_line(line);
}

/* Only what the unit has looked at, or what was written back by itself, is kept. What else was
 * dirty is forgotten: a copy of all memory at each WBINVD would cost too much, and to read memory
 * later instead would hide a write-back that is missing. */
void Shadow::all_written_back()
{
	for (auto &line : lines)
		line.second = memory_line(line.first);
}

} // namespace bochs
