/* Logs a vCPU's state, when its domain ends by a fault. */
#include <kernel/guest/vcpu/svm/statelog.h>

#include <kernel/core/log.h>
#include <kernel/x86/exceptions.h>

static void log_event(const struct svm_vcpu *s)
{
	u64 event = s->vmcb->exitintinfo, vector = FIELD_GET(EVENT_VECTOR, event);

	if (event & EVENT_VALID)
		log_err("  while vector %lu was delivered (%s, error code 0x%lx)", vector,
			vector < NR_EXCEPTIONS ? exception_name(vector) : "interrupt",
			event & EVENT_ERROR_VALID ? FIELD_GET(EVENT_ERROR_CODE, event) : 0);
}

void svm_log_state(const struct vcpu *v)
{
	const struct svm_vcpu *s = v->arch;
	const struct vmcb *c = s->vmcb;
	const u64 *r = v->reg;

	log_event(s);
	log_err("  rip %04x:%016lx  rsp %04x:%016lx  rflags %lx  cpl %u", c->cs.selector, v->rip,
		c->ss.selector, r[RSP], v->rflags, c->cpl);
	log_err("  rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx", r[RAX], r[RBX], r[RCX], r[RDX]);
	log_err("  rsi %016lx  rdi %016lx  rbp %016lx  r8  %016lx", r[RSI], r[RDI], r[RBP], r[R8]);
	log_err("  cr0 %lx  cr2 %lx  cr3 %lx  cr4 %lx  efer %lx", c->cr0, c->cr2, c->cr3, c->cr4,
		c->efer);
	log_err("  idt %lx limit %x  gdt %lx limit %x  tr %04x base %lx", c->idtr.base,
		c->idtr.limit, c->gdtr.base, c->gdtr.limit, c->tr.selector, c->tr.base);
	if (v->nmi_masked)
		log_err("  an NMI is in service");
}
