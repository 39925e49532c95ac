/* A function as software sees it: its capabilities, BARs, resets, and its DMA. */
#include <bochs/devices/function.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <bochs/devices/configspace.h>
#include <bochs/devices/devicetlb.h>
#include <bochs/devices/msi.h>

namespace bochs
{

namespace
{

/* The header (PCI Express Base 5.0, 7.5.1). */
constexpr unsigned command = 0x04;
constexpr unsigned command_memory = 1 << 1, command_bus_master = 1 << 2;
/* Memory space, bus master, parity error response, SERR#, interrupt disable. */
constexpr unsigned command_writable = 0x0546;
constexpr unsigned header_multifunction = 0x80;

/* The PCI Express capability (7.5.3). */
constexpr uint8_t pcie_id = 0x10;
constexpr unsigned device_capabilities = 4, device_control = 8;
constexpr uint32_t capabilities_flr = 1u << 28;
constexpr unsigned control_flr = 1 << 15;
constexpr unsigned control_payload = 7 << 5;

/* The extended capabilities (10.5.1 and 7.7.8); the control register of both is at 6. */
constexpr uint16_t ats_id = 0x000f, acs_id = 0x000d;
constexpr unsigned extended_control = 6;
constexpr unsigned acs_request_redirect = 1 << 2, acs_direct_translated = 1 << 6;
/* These two and completion redirect. */
constexpr uint8_t acs_all = 0x4c;

constexpr uint64_t interrupt_range = 0xfee00000;

} // namespace

struct Function::Inside {
	Upstream &upstream;
	SourceId source;
	ConfigSpace config;
	unsigned pcie, ats, acs; /* 0: it does not have it */
	bool flr;
	bool sending = false;
	std::unique_ptr<Msi> msi;
	std::unique_ptr<Msix> msix;
	std::unique_ptr<DeviceTlb> tlb;

	explicit Inside(Upstream &to, SourceId id)
		: upstream(to), source(id), config(), pcie(0), ats(0), acs(0), flr(false)
	{
	}
	bool command_has(unsigned bit) const
	{
		return config.read(command, 2) & bit;
	}
	bool acs_has(unsigned bit) const
	{
		return acs && config.read(acs + extended_control, 2) & bit;
	}
	/* Blocked without bus mastering, as any request is (7.5.1.1.3). */
	bool send(uint64_t address, uint32_t data)
	{
		if (!command_has(command_bus_master))
			return false;
		/* Its message may be a write to a register by which it sends the same one. */
		if (sending)
			return true;
		sending = true;
		if (address >> 20 == interrupt_range >> 20)
			upstream.message(source, address, data);
		else
			upstream.write(source, address, &data, sizeof(data));
		sending = false;
		return true;
	}
	SendMessage sender()
	{
		return [this](uint64_t address, uint32_t data) { return send(address, data); };
	}
	void send_pending()
	{
		if (msix)
			msix->send_pending(sender());
	}
};

Function::Function(Machine &in_machine, Knobs &its_knobs, Upstream &upstream,
		   const std::string &its_name, const FunctionIdentity &identity)
	: machine(in_machine), knobs(its_knobs), name(its_name),
	  inside(std::make_unique<Inside>(upstream, identity.source))
{
	ConfigSpace &config = inside->config;

	config.define(0x00, 2, identity.vendor, 0);
	config.define(0x02, 2, identity.device, 0);
	config.define(command, 2, 0, command_writable);
	config.define(0x08, 4, identity.class_code << 8 | identity.revision, 0);
	config.define(0x0c, 1, 0, 0xff); /* cache line size */
	config.define(0x0e, 1, identity.multifunction ? header_multifunction : 0, 0);
	config.define(0x2c, 2, identity.subsystem_vendor, 0);
	config.define(0x2e, 2, identity.subsystem, 0);
	config.define(0x3c, 1, 0, 0xff); /* interrupt line; there is no pin */
}

Function::~Function() = default;

uint32_t Function::config_read(unsigned offset, unsigned bytes) const
{
	return inside->config.read(offset, bytes);
}

void Function::config_write(unsigned offset, unsigned bytes, uint32_t value)
{
	Inside &in = *inside;
	unsigned end = offset + bytes;
	auto touches = [offset, end](unsigned at, unsigned length) {
		return offset < at + length && end > at;
	};

	if (!ConfigSpace::is_register(offset, bytes))
		return;
	in.config.write(offset, bytes, value);
	if (in.flr && touches(in.pcie + device_control + 1, 1) &&
	    value >> 8 * (in.pcie + device_control + 1 - offset) & control_flr >> 8) {
		function_level_reset();
		return;
	}
	if (in.ats && touches(in.ats + extended_control, 2))
		in.tlb->control(
			static_cast<uint16_t>(in.config.read(in.ats + extended_control, 2)));
	/* It may have unmasked a vector, or allowed to send. */
	in.send_pending();
	if (bars_changed && (touches(command, 2) || touches(0x10, 4 * ConfigSpace::bars)))
		bars_changed();
}

SourceId Function::source() const
{
	return inside->source;
}

Function::Bar Function::bar(unsigned index) const
{
	const ConfigSpace &config = inside->config;
	uint64_t address = config.bar_address(index);
	unsigned bytes = config.bar_bytes(index);

	/* One that firmware has left at 0 would cover memory. */
	return { address, bytes, bytes && address && inside->command_has(command_memory) };
}

bool Function::has_device_tlb() const
{
	return inside->tlb != nullptr;
}

bool Function::redirects_requests() const
{
	return inside->acs_has(acs_request_redirect);
}

bool Function::redirects_translated_requests() const
{
	return redirects_requests() && !inside->acs_has(acs_direct_translated);
}

uint64_t Function::mmio_read(unsigned index, unsigned offset, unsigned bytes)
{
	uint64_t ones = bytes >= 8 ? ~0ull : (1ull << 8 * bytes) - 1;

	if (!bar(index).decoded || offset >= bar(index).bytes)
		return ones;
	if (inside->msix && inside->msix->has(index, offset))
		return inside->msix->read(offset, bytes);
	return device_read(index, offset, bytes) & ones;
}

void Function::mmio_write(unsigned index, unsigned offset, unsigned bytes, uint64_t value)
{
	if (!bar(index).decoded || offset >= bar(index).bytes)
		return;
	if (inside->msix && inside->msix->has(index, offset)) {
		inside->msix->write(offset, bytes, value);
		inside->send_pending();
		return;
	}
	device_write(index, offset, bytes, value);
}

void Function::reset()
{
	inside->config.reset();
	if (inside->msix)
		inside->msix->reset();
	if (inside->tlb)
		inside->tlb->reset();
	device_reset();
	if (bars_changed)
		bars_changed();
}

/* All but what belongs to the link: of it, there is only the payload size (6.6.2). */
void Function::function_level_reset()
{
	unsigned at = inside->pcie + device_control;
	uint32_t kept = inside->config.read(at, 2) & control_payload;

	reset();
	inside->config.set(at, 2, (inside->config.read(at, 2) & ~control_payload) | kept);
}

void Function::invalidate(const DeviceTlbInvalidation &request)
{
	/* Without a TLB this is an unsupported request, which nobody answers. */
	if (inside->tlb)
		inside->tlb->invalidate(request);
}

void Function::add_bar(unsigned index, unsigned bytes)
{
	inside->config.add_bar(index, bytes);
}

unsigned Function::add_capability(uint8_t id, const std::vector<uint8_t> &body,
				  const std::vector<uint8_t> &writable)
{
	return inside->config.add_capability(id, body, writable);
}

void Function::add_pcie(bool flr)
{
	ConfigSpace &config = inside->config;
	std::vector<uint8_t> body(0x3c - 2);

	assert(!inside->pcie);
	body[0] = 0x02; /* version 2, type 0: PCI Express endpoint */
	unsigned at = inside->pcie = config.add_capability(pcie_id, body);
	inside->flr = flr;
	/* Role-based error reporting is required. */
	config.define(at + device_capabilities, 4, 1u << 15 | (flr ? capabilities_flr : 0), 0);
	/* Relaxed ordering, no snoop, reads of 512 bytes. FLR itself reads as 0. */
	config.define(at + device_control, 2, 0x2810, 0x78ff);
	config.define(at + 0x0c, 4, 0x11, 0); /* link capabilities: 2.5 GT/s, one lane */
	config.define(at + 0x10, 2, 0, 0x00c3); /* link control */
	config.define(at + 0x12, 2, 0x11, 0); /* link status */
	config.define(at + 0x24, 4, 0x10, 0); /* completion time-out can be disabled */
	config.define(at + 0x28, 2, 0, 0x10);
	config.define(at + 0x2c, 4, 0x02, 0); /* link capabilities 2: 2.5 GT/s */
	config.define(at + 0x30, 2, 0x01, 0x0f);
}

void Function::add_msi()
{
	inside->msi = std::make_unique<Msi>(inside->config);
}

void Function::add_msix(unsigned bar_index, unsigned table, unsigned pending, unsigned entries)
{
	inside->msix = std::make_unique<Msix>(inside->config, bar_index, table, pending, entries);
}

void Function::add_ats()
{
	assert(!inside->ats);
	/* Capability: invalidate queue depth 0, which is 32; page-aligned requests. */
	inside->ats = inside->config.add_extended(ats_id, 1, { 0x20, 0, 0, 0 },
						  { 0, 0, 0x1f, 0x80 });
	inside->tlb = std::make_unique<DeviceTlb>(machine, knobs, inside->upstream, name,
						  inside->source);
	inside->tlb->done = [this](uint16_t tag) {
		if (invalidated)
			invalidated(inside->source, tag);
	};
}

void Function::add_acs()
{
	assert(!inside->acs);
	inside->acs = inside->config.add_extended(acs_id, 1, { acs_all, 0, 0, 0 },
						  { 0, 0, acs_all, 0 });
}

bool Function::dma_read(uint64_t address, void *to, unsigned bytes)
{
	Inside &in = *inside;
	uint8_t *out = static_cast<uint8_t *>(to);
	bool all = true;

	if (!in.command_has(command_bus_master)) {
		memset(to, 0xff, bytes);
		return false;
	}
	/* No request crosses a page (2.2.7). */
	for (unsigned done = 0, part; done < bytes; done += part) {
		part = std::min(bytes - done, 4096 - static_cast<unsigned>(address + done) % 4096);
		all &= in.tlb ? in.tlb->read(address + done, out + done, part) :
				in.upstream.read(in.source, address + done, out + done, part);
	}
	return all;
}

bool Function::dma_write(uint64_t address, const void *from, unsigned bytes)
{
	Inside &in = *inside;
	const uint8_t *data = static_cast<const uint8_t *>(from);
	bool all = true;

	if (!in.command_has(command_bus_master))
		return false;
	for (unsigned done = 0, part; done < bytes; done += part) {
		part = std::min(bytes - done, 4096 - static_cast<unsigned>(address + done) % 4096);
		all &= in.tlb ? in.tlb->write(address + done, data + done, part) :
				in.upstream.write(in.source, address + done, data + done, part);
	}
	return all;
}

void Function::raise(unsigned vector)
{
	Inside &in = *inside;

	if (in.msix && in.msix->enabled())
		in.msix->raise(vector, in.sender());
	else if (in.msi && in.msi->enabled())
		in.msi->raise(in.sender());
}

} // namespace bochs
