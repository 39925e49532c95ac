/* The registers of the edu device, its transfers, and its interrupt. */
#include <bochs/devices/edu.h>

#include <cstring>

namespace bochs
{

namespace
{

constexpr unsigned bar_bytes = 1 << 20;

/* Registers of 32 bits; those from dma_source on have 64. */
enum {
	reg_id = 0x00,
	reg_liveness = 0x04,
	reg_factorial = 0x08,
	reg_status = 0x20,
	reg_interrupt_status = 0x24,
	reg_interrupt_raise = 0x60,
	reg_interrupt_acknowledge = 0x64,
	reg_dma_source = 0x80,
	reg_dma_destination = 0x88,
	reg_dma_count = 0x90,
	reg_dma_command = 0x98,
	reg_dma_end = 0xa0,
};

constexpr uint32_t id = 0x010000ed;
constexpr uint32_t status_interrupt = 0x80; /* when the factorial is there */
constexpr uint32_t cause_factorial = 0x001, cause_dma = 0x100;
constexpr uint64_t dma_start = 1, dma_to_memory = 2, dma_interrupt = 4;
/* Where the buffer is in the addresses of the DMA engine. */
constexpr uint64_t buffer_start = 0x40000;

FunctionIdentity identity(SourceId source, bool multifunction)
{
	return { 0x1234, 0x11e8, 0x1af4, 0x1100, 0x00ff00, 0x10, source, multifunction };
}

} // namespace

Edu::Edu(Machine &in_machine, Knobs &its_knobs, Upstream &upstream, const std::string &its_name,
	 SourceId source, bool multifunction, const EduOptions &options)
	: Function(in_machine, its_knobs, upstream, its_name, identity(source, multifunction)),
	  timer(machine.timer(name.c_str(), [this] { finish(); }))
{
	add_bar(0, bar_bytes);
	add_pcie(true);
	add_msi();
	if (options.ats)
		add_ats();
	if (options.acs)
		add_acs();
	knobs.add(name + ".dma", &nanoseconds);
	knobs.add(name + ".transfers", [this] { return std::to_string(transfers); });
	knobs.add(name + ".blocked", [this] { return std::to_string(blocked); });
}

uint64_t *Edu::dma_register(unsigned offset)
{
	switch (offset & ~7u) {
	case reg_dma_source:
		return &dma.source;
	case reg_dma_destination:
		return &dma.destination;
	case reg_dma_count:
		return &dma.count;
	case reg_dma_command:
		return &dma.command;
	}
	return nullptr;
}

uint64_t Edu::device_read(unsigned, unsigned offset, unsigned bytes)
{
	bool wide = offset >= reg_dma_source;

	if (bytes != 4 && !(bytes == 8 && wide))
		return ~0ull;
	if (wide) {
		const uint64_t *from = offset % bytes ? nullptr : dma_register(offset);
		return from ? *from >> 8 * (offset % 8) : ~0ull;
	}
	switch (offset) {
	case reg_id:
		return id;
	case reg_liveness:
		return liveness;
	case reg_factorial:
		return factorial;
	case reg_status:
		return status;
	case reg_interrupt_status:
		return causes;
	}
	return ~0ull;
}

void Edu::device_write(unsigned, unsigned offset, unsigned bytes, uint64_t value)
{
	bool wide = offset >= reg_dma_source;

	if (wide && (bytes == 4 || bytes == 8) && offset % bytes == 0)
		write_dma(offset, bytes, value);
	else if (!wide && bytes == 4)
		write_control(offset, static_cast<uint32_t>(value));
}

void Edu::write_control(unsigned offset, uint32_t value)
{
	switch (offset) {
	case reg_liveness:
		liveness = ~value;
		break;
	case reg_factorial:
		set_factorial(value);
		break;
	case reg_status:
		status = value & status_interrupt;
		break;
	case reg_interrupt_raise:
		interrupt(value);
		break;
	case reg_interrupt_acknowledge:
		causes &= ~value;
		break;
	}
}

/* A write of 4 bytes to the lower half clears the upper one, as on QEMU's, where it is the whole
 * register. */
void Edu::write_dma(unsigned offset, unsigned bytes, uint64_t value)
{
	uint64_t *to = dma_register(offset);

	/* Nothing can be changed while it works. */
	if (!to || dma.command & dma_start)
		return;
	if (offset % 8)
		*to = (*to & 0xffffffff) | value << 32;
	else
		*to = bytes == 4 ? static_cast<uint32_t>(value) : value;
	if (dma.command & dma_start)
		timer->set(nanoseconds);
}

/* There at once: the bit of the status register that says "computing" is never seen. */
void Edu::set_factorial(uint32_t of)
{
	/* 34! is a multiple of 2^32, so all above it are 0 as well. */
	factorial = 1;
	for (uint32_t i = 2; i <= of && factorial; i++)
		factorial *= i;
	if (status & status_interrupt)
		interrupt(cause_factorial);
}

void Edu::interrupt(uint32_t more)
{
	causes |= more;
	if (causes)
		raise(0);
}

bool Edu::transfer()
{
	bool to_memory = dma.command & dma_to_memory;
	uint64_t inner = to_memory ? dma.source : dma.destination;
	uint64_t start = inner - buffer_start;

	if (inner < buffer_start || start > buffer_bytes || dma.count > buffer_bytes - start) {
		machine.log(name + ": a transfer beyond its buffer");
		return false;
	}
	uint8_t *bytes = buffer.data() + start;
	unsigned count = static_cast<unsigned>(dma.count);
	return to_memory ? dma_write(dma.destination, bytes, count) :
			   dma_read(dma.source, bytes, count);
}

void Edu::finish()
{
	bool interrupts = dma.command & dma_interrupt;

	transfers++;
	if (!transfer())
		blocked++;
	/* A transfer to its own registers, by way of a peer, may not start the next one before
	 * this has ended. */
	dma.command &= ~dma_start;
	if (interrupts)
		interrupt(cause_dma);
}

void Edu::device_reset()
{
	timer->cancel();
	buffer.fill(0);
	dma = {};
	liveness = factorial = status = causes = 0;
}

} // namespace bochs
