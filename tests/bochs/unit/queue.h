/* The invalidation queue (VT-d, section 6.5.2). It takes the machine's time: each descriptor has a
 * duration, invalidations take effect at some moment before the next wait completes, and a device's
 * TLB answers when it likes. */
#pragma once

#include <deque>
#include <vector>
#include <bochs/unit/descriptors.h>
#include <bochs/unit/faults.h>
#include <bochs/upstream.h>

namespace bochs
{

class Queue
{
      public:
	using DeviceTlb = std::function<bool(const DeviceTlbInvalidation &)>;

	/* `device_tlb` is Vtd's: it may be set later. */
	Queue(Core &core, Faults &faults, const DeviceTlb &device_tlb);
	void reset();

	/* GCMD.QIE */
	void enable(bool on);
	/* A setting or an error that held it up has changed. */
	void resume();
	void device_tlb_done(SourceId device, uint16_t tag);

	/* Descriptors that are not completed, fetched or not. */
	uint64_t queued() const;
	uint64_t descriptors = 0, waits = 0;
	Event event;

      private:
	struct Fetched {
		uint64_t order;
		Descriptor what;
		bool done; /* it has taken effect before its time was over */
	};
	struct Outstanding {
		uint64_t order;
		SourceId device;
		uint16_t tag;
		uint64_t deadline;
	};

	void define_registers();
	void tail_written();
	void address_written(uint64_t before);
	uint64_t ring_bytes() const;

	bool may_fetch() const;
	void fetch_next();
	void started();
	void time_over();
	uint64_t duration(const Descriptor &what);
	void refuse(QueueError why);
	void apply(const Descriptor &what);
	void execute(const Fetched &request);
	void execute_late(uint64_t before, bool contexts_only = false);

	void complete_waits();
	void complete(const Descriptor &wait);

	bool plan_error();
	void send(const Fetched &request);
	bool send_now(const Fetched &request);
	void send_held();
	void watch_time();
	void deadline_over();
	void time_out(SourceId device);
	void lose_late();
	void unexpected(SourceId device);

	Core &core;
	Faults &faults;
	const DeviceTlb &device_tlb;
	std::unique_ptr<Timer> work, deadline;

	bool enabled = false;
	uint64_t fetched = 0; /* the order of the newest descriptor */
	std::unique_ptr<Fetched> current; /* its time is not over */
	std::vector<Fetched> late; /* to take effect before the next wait completes */
	std::deque<Fetched> waiting; /* for a device's TLB, or for an earlier wait */
	std::vector<Outstanding> outstanding;
	std::deque<Fetched> held; /* the device has MIP requests outstanding, or no tag is free */
};

} // namespace bochs
