/* Chooses the virtualisation back end for this machine. */
#include <kernel/guest/vcpu/backend.h>

#include <kernel/core/cpu.h>
#include <kernel/core/log.h>
#include <kernel/guest/vcpu/exitring.h>
#include <kernel/guest/vcpu/speculation.h>
#include <kernel/guest/vcpu/svm/svm.h>
#include <kernel/lib/errno.h>

const struct vcpu_backend *vcpu_backend;

int vcpu_backend_init(void)
{
	int ret;

	if (!svm_backend.supported()) {
		if (vcpu_backend)
			log_err("CPU %u: no %s, unlike the first CPU: no guest runs on it; "
				"look at the firmware's setup",
				this_cpu()->id, vcpu_backend->name);
		return -ENODEV;
	}
	vcpu_backend = &svm_backend;
	speculation_cpu_init();
	ret = exit_ring_init();
	if (!ret)
		ret = vcpu_backend->cpu_init();
	if (ret)
		log_err("CPU %u: no memory for %s: no guest runs on it", this_cpu()->id,
			vcpu_backend->name);
	return ret;
}
