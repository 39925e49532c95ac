/* Chooses the virtualisation back end for this machine. */
#include <kernel/guest/vcpu/backend.h>

#include <kernel/core/cpu.h>
#include <kernel/core/log.h>
#include <kernel/guest/vcpu/cpuid.h>
#include <kernel/guest/vcpu/exitring.h>
#include <kernel/guest/vcpu/speculation.h>
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
	const char *why = svm_backend.why_unsupported();
	int ret;

	if (why) {
		if (vcpu_backend)
			log_err("CPU %u: no %s, unlike the first CPU: no guest runs on it; "
				"look at the firmware's setup",
				this_cpu()->id, vcpu_backend->name);
		else
			why_none = why;
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
	else
		policy_cpu_init();
	return ret;
}
