/* The queue's requests to device TLBs: their tags, their time, and their errors. */
#include <algorithm>
#include <bochs/unit/queue.h>

namespace bochs
{

namespace
{

constexpr unsigned TAGS = 32; /* an ITag has 5 bits (PCIe, 10.3.1) */
constexpr unsigned IQERCD_ITESID_SHIFT = 32, IQERCD_ICESID_SHIFT = 48;

void put_source(Registers &registers, unsigned shift, SourceId source)
{
	uint64_t others = registers.get(IQERCD_REG) & ~(UINT64_C(0xffff) << shift);

	registers.set(IQERCD_REG, others | uint64_t(source) << shift);
}

} // namespace

/* An error that a test has asked for: is it this descriptor's turn? */
bool Queue::plan_error()
{
	Settings &settings = core.settings;

	if (settings.error_at > 1) {
		settings.error_at--;
		return false;
	}
	settings.error = PlannedError::none;
	settings.error_at = 1;
	return true;
}

/* 6.5.2.11: it is sent after all invalidations that were fetched before it are executed. Else the
 * device could fill its TLB again from a stale entry of the unit. */
void Queue::send(const Fetched &request)
{
	execute_late(request.order);
	if (!held.empty() || !send_now(request))
		held.push_back(request);
}

/* False: the device has as many requests outstanding as it can take (MIP), or no tag is free. */
bool Queue::send_now(const Fetched &request)
{
	const Descriptor &what = request.what;
	uint32_t used = 0;
	unsigned pending = 0, tag = 0;

	for (const Outstanding &other : outstanding) {
		used |= UINT32_C(1) << other.tag;
		pending += other.device == what.source;
	}
	if (pending >= what.max_pending || outstanding.size() == TAGS)
		return false;
	while (used >> tag & 1)
		tag++;

	/* Before it is sent: the answer may come at once. */
	uint64_t now = core.machine.now();
	outstanding.push_back({ request.order, what.source, uint16_t(tag),
				now + std::min(core.settings.timeout, UINT64_MAX - now) });
	watch_time();
	DeviceTlbInvalidation message = { what.source, what.address, what.bytes, false,
					  uint16_t(tag) };
	if (!device_tlb || !device_tlb(message))
		core.machine.log(core.name + ": an invalidation for a device that is not there");
	return true;
}

void Queue::device_tlb_done(SourceId device, uint16_t tag)
{
	auto found = std::find_if(outstanding.begin(), outstanding.end(),
				  [=](const Outstanding &request) {
					  return request.device == device && request.tag == tag;
				  });

	if (found == outstanding.end()) {
		unexpected(device);
		return;
	}
	outstanding.erase(found);
	resume();
}

void Queue::send_held()
{
	while (!held.empty()) {
		Fetched next = held.front();
		held.pop_front();
		if (!send_now(next)) {
			held.push_front(next);
			break;
		}
	}
}

/* Sets the timer to the next deadline. One time-out is reported at a time: the next one when
 * software has cleared FSTS.ITE, since IQERCD names one device only. */
void Queue::watch_time()
{
	uint64_t first = UINT64_MAX;

	for (const Outstanding &request : outstanding)
		first = std::min(first, request.deadline);
	deadline->cancel();
	if (first == UINT64_MAX || (faults.status() & FSTS_ITE))
		return;
	deadline->set(first - std::min(first, core.machine.now()));
}

void Queue::deadline_over()
{
	uint64_t now = core.machine.now();

	for (const Outstanding &request : outstanding) {
		if (request.deadline <= now) {
			time_out(request.device);
			return;
		}
	}
	watch_time();
}

/* After a time-out, nothing is sure of what was fetched behind the oldest request that a device has
 * not answered (6.5.2.10). */
void Queue::lose_late()
{
	uint64_t oldest = UINT64_MAX;

	for (const Outstanding &request : outstanding)
		oldest = std::min(oldest, request.order);
	if (!core.whims.chance(2))
		return;
	late.erase(std::remove_if(late.begin(), late.end(),
				  [=](const Fetched &one) { return one.order > oldest; }),
		   late.end());
}

/* The device's requests are dropped; an answer that comes later is unexpected. All waits that are
 * pending are aborted: software submits them again after it has cleared FSTS.ITE. */
void Queue::time_out(SourceId device)
{
	auto of_device = [=](const Outstanding &request) { return request.device == device; };
	auto held_for = [=](const Fetched &request) { return request.what.source == device; };

	lose_late();
	outstanding.erase(std::remove_if(outstanding.begin(), outstanding.end(), of_device),
			  outstanding.end());
	held.erase(std::remove_if(held.begin(), held.end(), held_for), held.end());
	waiting.clear();
	if (current && current->what.type == DescriptorType::wait) {
		current.reset();
		work->cancel();
	}
	if (!(faults.status() & FSTS_ITE))
		put_source(core.registers, IQERCD_ITESID_SHIFT, device);
	faults.error(FSTS_ITE);
	watch_time();
}

void Queue::unexpected(SourceId device)
{
	/* The first one stays until software has cleared ICE (11.4.9.9). */
	if (!(faults.status() & FSTS_ICE))
		put_source(core.registers, IQERCD_ICESID_SHIFT, device);
	faults.error(FSTS_ICE);
}

} // namespace bochs
