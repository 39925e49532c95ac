/* The start of a domain, at boot (builder.c) and at a restart (restart.c):
 *
 *	memory, all of it zero -> kernel, ramdisks, firmware loaded -> devices attached -> power on
 */
#include <kernel/guest/lifecycle/start.h>

#include <kernel/guest/devices/guestfirmware.h>
#include <kernel/guest/devices/virtio/vballoon.h>
#include <kernel/guest/devices/vuart.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/lifecycle/moduleload.h>
#include <kernel/guest/lifecycle/modules.h>
#include <kernel/guest/vcpu/vcpustate.h>

int start_load_step(struct domain *d, u64 *done, struct guest_entry *entry)
{
	int ret = module_load_step(d, done, entry);

	return ret == STEP_DONE ? guestfirmware_write(d, d->kernel->line.vcpus) : ret;
}

void start_run(struct domain *d, const struct guest_entry *entry)
{
	vuart_reset(d->uart);
	vballoon_power_on(d);
	for (u32 i = 0; i < d->vm.nr_vcpus; i++)
		vcpu_power_on(d->vm.vcpu[i]);
	domain_start(d, entry);
}
