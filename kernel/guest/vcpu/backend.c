/* Chooses the virtualisation back end for this machine. */
#include <kernel/guest/vcpu/backend.h>

#include <kernel/core/cpu.h>
#include <kernel/core/log.h>
#include <kernel/guest/vcpu/exitring.h>
#include <kernel/guest/vcpu/svm/svm.h>
#include <kernel/lib/errno.h>

const struct vcpu_backend *vcpu_backend;
static const char *why_none = "no CPU has been looked at";

const char *vcpu_why_no_backend(void)
{
	return why_none;
}

int vcpu_backend_init(void)
{
	int ret;

	if (!vcpu_backend) {
		why_none = svm_backend.why_unsupported();
		if (why_none)
			return -ENODEV;
		vcpu_backend = &svm_backend;
	}
	ret = exit_ring_init();
	if (!ret)
		ret = vcpu_backend->cpu_init();
	if (ret)
		log_err("CPU %u: no memory for %s: no guest runs on it", this_cpu()->id,
			vcpu_backend->name);
	return ret;
}
