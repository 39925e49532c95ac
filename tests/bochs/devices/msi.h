/* Message-signalled interrupts of a function (PCI Express Base 5.0, 7.7.1 and 7.7.2). MSI has one
 * vector, a 64-bit address and no masks, as QEMU's edu has it. */
#pragma once

#include <functional>
#include <bochs/devices/configspace.h>

namespace bochs
{

/* Sends a message. False: it cannot be sent now. */
using SendMessage = std::function<bool(uint64_t address, uint32_t data)>;

class Msi
{
      public:
	explicit Msi(ConfigSpace &config);
	bool enabled() const;
	void raise(const SendMessage &send);

      private:
	ConfigSpace &config;
	unsigned at;
};

class Msix
{
      public:
	/* The table and the pending bits are at these offsets in this BAR. */
	Msix(ConfigSpace &config, unsigned bar, unsigned table, unsigned pending, unsigned entries);
	bool enabled() const;
	void reset();
	/* A masked vector stays pending. There is nothing to do for a vector without an entry. */
	void raise(unsigned vector, const SendMessage &send);
	/* Sends what is pending and no longer masked; after a write of the table or the control. */
	void send_pending(const SendMessage &send);

	/* True: the access is to the table or to the pending bits, which are read only. */
	bool has(unsigned bar, unsigned offset) const;
	uint64_t read(unsigned offset, unsigned bytes) const;
	void write(unsigned offset, unsigned bytes, uint64_t value);

      private:
	bool masked(unsigned vector) const;
	bool send(unsigned vector, const SendMessage &send) const;
	uint32_t field(unsigned vector, unsigned offset) const;

	ConfigSpace &config;
	unsigned at, bar, table_at, pending_at, entries;
	std::vector<uint8_t> table, pending;
};

} // namespace bochs
