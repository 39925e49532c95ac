/* The control domain: a shell on Weir's console. It is a guest like any other; all it can do more is to ask the privileged
 * hypercalls. */
#include "shell.h"

#include "../runtime/cpu.h"

#define CTRL_C 3

void shell_sleep(u64 ns)
{
	interrupts_off();
	if (event_pending) {
		interrupts_on();
	} else {
		x2apic_timer(ns);
		interrupts_on_and_halt();
	}
	(void)events_take();
}

bool shell_interrupted(void)
{
	bool yes = false;
	int c;

	while ((c = console_get()) >= 0)
		yes |= c == CTRL_C;
	return yes;
}

void program_main(void)
{
	struct weir_domain_info info;
	char line[128];
	s64 ret;

	if (!hypervisor_is_weir())
		fatal("the control domain has nothing to control: this machine does not run under Weir");
	ret = hypercall(WEIR_HC_DOMAIN_INFO, 0, (u64)&info, sizeof(info));
	if (ret < 0)
		fatal("this domain may not control others (error %ld): put the word control on its module line",
		      -ret);
	events_init();
	print("Weir's control domain; type help.\n");
	for (;;)
		if (line_read("weir> ", line, sizeof(line)))
			command_execute(line);
}
