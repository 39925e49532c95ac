/* A PCI Express function: configuration space of 4 KiB with its capabilities, BARs, MSI or MSI-X,
 * function-level reset, and a TLB of its own if it has ATS. Devices derive from it. */
#pragma once

#include <array>
#include <vector>
#include <bochs/knobs.h>
#include <bochs/machine.h>
#include <bochs/upstream.h>

namespace bochs
{

class DeviceTlb;

struct FunctionIdentity {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_code; /* 24 bits */
	uint8_t revision;
	SourceId source;
	bool multifunction;
};

class Function
{
      public:
	Function(Machine &machine, Knobs &knobs, Upstream &upstream, const std::string &name,
		 const FunctionIdentity &identity);
	virtual ~Function();

	/* Configuration space: any offset below 4096; 1, 2 or 4 bytes, aligned. */
	uint32_t config_read(unsigned offset, unsigned bytes) const;
	void config_write(unsigned offset, unsigned bytes, uint32_t value);
	SourceId source() const;
	/* A 32-bit memory BAR as the configuration space has it; bytes 0: there is none. */
	struct Bar {
		uint64_t address;
		unsigned bytes;
		bool decoded; /* memory decoding is enabled */
	};
	Bar bar(unsigned index) const;
	/* Called after each write that may have moved a BAR or changed its decoding. */
	std::function<void()> bars_changed;

	/* What its ACS says of requests to another function of the same device: true, they have to
	 * go through the unit. Of translated ones by itself (PCIe, 6.12.3). */
	bool redirects_requests() const;
	bool redirects_translated_requests() const;
	bool has_device_tlb() const;

	/* Accesses to a BAR; the MSI-X table is taken care of. 1, 2, 4 or 8 bytes. */
	uint64_t mmio_read(unsigned bar, unsigned offset, unsigned bytes);
	void mmio_write(unsigned bar, unsigned offset, unsigned bytes, uint64_t value);

	/* Reset by the machine, or FLR. */
	void reset();
	/* For the unit: see Vtd::device_tlb. */
	void invalidate(const DeviceTlbInvalidation &request);
	/* The completion of it: the fabric sets this. */
	std::function<void(SourceId device, uint16_t tag)> invalidated;

      protected:
	/* --- for devices, in their constructor: --------------------------- */
	void add_bar(unsigned index, unsigned bytes);
	/* `body` follows id and next pointer, `writable` is its mask. The offset of it. */
	unsigned add_capability(uint8_t id, const std::vector<uint8_t> &body,
				const std::vector<uint8_t> &writable = {});
	void add_pcie(bool flr);
	void add_msi();
	void add_msix(unsigned bar, unsigned table, unsigned pending, unsigned entries);
	void add_ats();
	void add_acs(); /* P2P request redirect, P2P completion redirect, direct translated P2P */

	/* --- for devices, while the machine runs: ------------------------- */
	/* DMA, through the function's TLB if ATS is on; false: blocked, or no bus master. */
	bool dma_read(uint64_t address, void *to, unsigned bytes);
	bool dma_write(uint64_t address, const void *from, unsigned bytes);
	/* MSI or MSI-X; masked: stays pending. Nothing is sent if neither is enabled. */
	void raise(unsigned vector);

	/* --- what a device does: ------------------------------------------ */
	virtual uint64_t device_read(unsigned bar, unsigned offset, unsigned bytes) = 0;
	virtual void device_write(unsigned bar, unsigned offset, unsigned bytes,
				  uint64_t value) = 0;
	virtual void device_reset() = 0;

	Machine &machine;
	Knobs &knobs;
	const std::string name;

      private:
	void function_level_reset();

	struct Inside;
	std::unique_ptr<Inside> inside;
};

} // namespace bochs
