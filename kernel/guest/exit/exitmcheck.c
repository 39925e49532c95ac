/* Machine checks while a guest runs. See exitmcheck.h. */
#include <kernel/guest/exit/exitmcheck.h>

#include <kernel/core/mcheck.h>
#include <kernel/core/panic.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/string.h>

static void describe_owner(u16 owner, char *text, size_t size)
{
	struct domain *d = owner <= MAX_DOMAINS ? domain_get_from(owner) : NULL;

	if (!d)
		return;
	if (d->id == owner)
		snprintf(text, size, "domain %s", d->name);
	domain_put(d);
}

void exitmcheck_init(void)
{
	mcheck_set_owner_hook(describe_owner);
}

/* The hardware has failed. What it reports may concern somebody else, or have been corrected. */
void exit_machine_check(struct vcpu *v)
{
	enum mcheck result = mcheck_collect();

	v->exits[WEIR_EXIT_OTHER]++;
	if (result == MCHECK_FATAL)
		panic_hardware();
	mcheck_report(false);
	if (result == MCHECK_CONTEXT_LOST)
		domain_crash(vcpu_domain(v),
			     "vCPU %u: a machine check at RIP 0x%lx: the hardware has failed",
			     v->id, v->rip);
}
