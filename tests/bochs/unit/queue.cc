/* Fetches descriptors, takes the time for them, and completes waits in their order. */
#include <bochs/unit/queue.h>

namespace bochs
{

namespace
{

constexpr uint64_t QUEUE_OFFSET = 0x7fff0; /* IQH.QH, IQT.QT: 128-bit descriptors */
constexpr uint64_t IQA_SIZE = 7; /* QS */
constexpr uint64_t ICS_IWC = 1;

} // namespace

Queue::Queue(Core &the_core, Faults &the_faults, const DeviceTlb &the_device_tlb)
	: event(the_core, IECTL_REG), core(the_core), faults(the_faults),
	  device_tlb(the_device_tlb),
	  work(the_core.machine.timer("queue", [this] { time_over(); })),
	  deadline(the_core.machine.timer("device TLB", [this] { deadline_over(); }))
{
	define_registers();
}

void Queue::define_registers()
{
	Registers::Register about;

	about.bytes = 8;
	core.registers.define(IQH_REG, about);
	about.sticky = UINT64_MAX;
	core.registers.define(IQERCD_REG, about);
	about.sticky = 0;
	about.writable = QUEUE_OFFSET;
	about.written = [this](uint64_t) { tail_written(); };
	core.registers.define(IQT_REG, about);
	about.writable = ~UINT64_C(0xfff) | IQA_SIZE; /* no DW: 128 bits only */
	about.written = [this](uint64_t before) { address_written(before); };
	core.registers.define(IQA_REG, about);

	about = {};
	about.cleared = about.sticky = ICS_IWC;
	about.written = [this](uint64_t) {
		if (!(core.registers.get(ICS_REG) & ICS_IWC))
			event.serviced();
	};
	core.registers.define(ICS_REG, about);
}

void Queue::reset()
{
	work->cancel();
	deadline->cancel();
	enabled = false;
	current.reset();
	late.clear();
	waiting.clear();
	outstanding.clear();
	held.clear();
}

uint64_t Queue::ring_bytes() const
{
	return UINT64_C(4096) << (core.registers.get(IQA_REG) & IQA_SIZE);
}

void Queue::tail_written()
{
	if (core.registers.get(IQT_REG) >= ring_bytes())
		core.misuse("IQT is beyond the end of the queue");
	fetch_next();
}

void Queue::address_written(uint64_t before)
{
	if (!enabled || core.registers.get(IQA_REG) == before)
		return;
	core.misuse("IQA is changed while the queue is enabled");
	core.registers.set(IQA_REG, before);
}

void Queue::enable(bool on)
{
	if (on == enabled)
		return;
	if (!on && queued())
		core.misuse("the queue is disabled before it is empty");
	/* What was fetched is executed before GSTS.QIES is clear (6.5.2). */
	execute_late(UINT64_MAX);
	reset();
	enabled = on;
	core.registers.set(IQH_REG, 0);
	fetch_next();
}

uint64_t Queue::queued() const
{
	uint64_t ahead = core.registers.get(IQT_REG) - core.registers.get(IQH_REG);

	if (!enabled)
		return 0;
	return (ahead & (ring_bytes() - 1)) / 16 + (current ? 1 : 0) + waiting.size() +
	       outstanding.size() + held.size();
}

void Queue::resume()
{
	send_held();
	watch_time();
	complete_waits();
	fetch_next();
}

bool Queue::may_fetch() const
{
	if (!enabled || current || core.settings.pause || core.settings.hang == Hang::queue)
		return false;
	if (faults.status() & (FSTS_IQE | FSTS_ITE))
		return false;
	if (!held.empty() || (!waiting.empty() && waiting.back().what.fence))
		return false;
	return core.registers.get(IQH_REG) != core.registers.get(IQT_REG);
}

/* Stops the queue at its head until software has cleared FSTS.IQE. */
void Queue::refuse(QueueError why)
{
	uint64_t record = core.registers.get(IQERCD_REG) & ~UINT64_C(0xf);

	core.registers.set(IQERCD_REG, record | uint64_t(why));
	faults.error(FSTS_IQE);
}

void Queue::fetch_next()
{
	uint64_t words[2] = {};
	QueueError error;
	Descriptor what;

	if (!may_fetch())
		return;
	uint64_t head = core.registers.get(IQH_REG);
	if (core.registers.get(IQT_REG) >= ring_bytes()) {
		refuse(QueueError::invalid_tail);
		return;
	}
	uint64_t base = core.registers.get(IQA_REG) & ~UINT64_C(0xfff);
	/* Not by the translator: the queue is always coherent, whatever ECAP.C says (11.4.3). */
	core.machine.read(base + head, words, sizeof(words));
	if (!decode(words[0], words[1], core.features, what, error)) {
		refuse(error);
		return;
	}
	if (core.settings.error == PlannedError::iqe && plan_error()) {
		refuse(QueueError::fetch);
		return;
	}

	/* IQH names what is fetched next; it says nothing about completion. */
	core.registers.set(IQH_REG, (head + 16) & (ring_bytes() - 1));
	descriptors++;
	current.reset(new Fetched{ ++fetched, what, false });
	work->set(duration(what));
	started();
}

/* Some invalidations take effect as soon as they are fetched. */
void Queue::started()
{
	DescriptorType type = current->what.type;

	if (type == DescriptorType::wait || type == DescriptorType::device_tlb)
		return;
	if (core.whims.chance(3)) {
		current->done = true;
		execute(*current);
	}
}

uint64_t Queue::duration(const Descriptor &what)
{
	const Settings &settings = core.settings;
	uint64_t time = settings.delay;

	switch (what.type) {
	case DescriptorType::context:
		time += settings.delay_context;
		break;
	case DescriptorType::iotlb:
		time += settings.delay_iotlb;
		break;
	case DescriptorType::device_tlb:
		time += settings.delay_device;
		break;
	case DescriptorType::interrupt_entries:
		time += settings.delay_interrupt;
		break;
	case DescriptorType::wait:
		time += settings.delay_wait;
		break;
	}
	if (settings.delay_random)
		time += core.whims.choose(0, settings.delay_random);
	if (settings.unfair) {
		bool unlucky = core.whims.seed ? core.whims.chance(settings.unfair) :
						 descriptors % settings.unfair == 0;
		if (unlucky)
			time += settings.unfair_delay;
	}
	return time;
}

void Queue::time_over()
{
	if (!current)
		return;
	Fetched now = *current;
	bool times_out = core.settings.error == PlannedError::ite && plan_error();
	bool is_unexpected = core.settings.error == PlannedError::ice && plan_error();
	current.reset();

	if (now.what.type == DescriptorType::wait)
		waiting.push_back(now);
	else if (now.what.type == DescriptorType::device_tlb && !times_out)
		send(now);
	else if (!now.done && core.whims.chance(2))
		late.push_back(now);
	else if (!now.done)
		execute(now);

	if (times_out)
		time_out(now.what.source);
	if (is_unexpected)
		unexpected(now.what.source);
	complete_waits();
	fetch_next();
}

void Queue::apply(const Descriptor &what)
{
	switch (what.type) {
	case DescriptorType::context:
		core.translator.invalidate_context(what.granularity, what.domain, what.source,
						   what.function_mask);
		break;
	case DescriptorType::iotlb:
		core.translator.invalidate_iotlb(what.granularity, what.domain, what.address,
						 what.mask, what.hint);
		break;
	case DescriptorType::interrupt_entries:
		core.translator.invalidate_interrupts(what.global, what.index, what.mask);
		break;
	case DescriptorType::device_tlb:
	case DescriptorType::wait:
		break;
	}
}

/* 6.5.2.11: an IOTLB invalidation is executed after all of the context cache that were fetched
 * before it. Else the IOTLB could be filled again from a stale context entry. */
void Queue::execute(const Fetched &request)
{
	if (request.what.type == DescriptorType::iotlb)
		execute_late(request.order, true);
	apply(request.what);
}

/* What was fetched before this, in an order that chance chooses. */
void Queue::execute_late(uint64_t before, bool contexts_only)
{
	for (;;) {
		std::vector<size_t> ready;
		for (size_t i = 0; i < late.size(); i++)
			if (late[i].order < before &&
			    (!contexts_only || late[i].what.type == DescriptorType::context))
				ready.push_back(i);
		if (ready.empty())
			return;
		size_t chosen = ready[core.whims.choose(0, ready.size() - 1)];
		Fetched request = late[chosen];
		late.erase(late.begin() + chosen);
		execute(request);
	}
}

/* A wait completes after all that was fetched before it: other waits, and device TLBs. */
void Queue::complete_waits()
{
	while (!waiting.empty() && core.settings.hang != Hang::status) {
		uint64_t order = waiting.front().order;
		for (const Outstanding &request : outstanding)
			if (request.order < order)
				return;
		for (const Fetched &request : held)
			if (request.order < order)
				return;
		Descriptor what = waiting.front().what;
		waiting.pop_front();
		execute_late(order);
		complete(what);
	}
}

/* The status is in memory before the interrupt is sent. */
void Queue::complete(const Descriptor &wait)
{
	waits++;
	if (wait.status_write)
		core.machine.write(wait.status_address, &wait.status_data, 4);
	if (!wait.interrupt)
		return;
	/* IWC that is still set is no new interrupt condition (11.4.9.5). */
	if (core.registers.get(ICS_REG) & ICS_IWC)
		return;
	core.registers.set(ICS_REG, ICS_IWC);
	event.raise();
}

} // namespace bochs
