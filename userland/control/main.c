/* The control domain: a shell on Weir's console. It is a guest like any other, except that it may
 * use the privileged hypercalls. */
#include <kernel/x86/interrupts.h>
#include <userland/drivers/igb_pf.h>
#include "shell.h"

void shell_sleep(u64 ns)
{
	interrupts_off();
	if (event_pending) {
		interrupts_on();
	} else {
		x2apic_timer(ns);
		interrupts_on_and_halt();
	}
	if (events_take() & WEIR_EVENT_DEVICES)
		igb_pf_probe();
}

void program_main(void)
{
	struct weir_domain_info info;
	char line[128];
	s64 ret;

	if (!hypervisor_is_weir())
		fatal("this machine does not run under Weir: there is nothing to control");
	ret = hypercall(WEIR_HC_DOMAIN_INFO, 0, (u64)&info, sizeof(info));
	if (ret < 0)
		fatal("this is not the control domain (error %ld): put the word control on its "
		      "module line",
		      -ret);
	events_init();
	print("Weir's control domain; type help.\n");
	igb_pf_probe();
	for (;;) {
		u32 lost = shell_keys_lost();

		if (lost)
			print("%u characters that were typed meanwhile are lost\n", lost);
		if (line_read("weir> ", line, sizeof(line)))
			command_execute(line);
	}
}
