/* Ports by which a guest powers its machine off or resets it. See guestpower.h.
 *
 *	sleep register, reset register    ACPI 6.5, 4.8.3.7 and 4.8.3.6
 *	keyboard controller               its reset line, which kernels without ACPI pull; with
 *	                                  legacy=on the whole controller is there (legacy/vkbc.c)
 *
 * Another is the reset control register (vpciports.c), and the last a jump to the reset vector
 * (guestfirmware.c); the code there writes the reset register.
 */
#include <kernel/guest/devices/guestpower.h>

#include <kernel/guest/devices/guestacpi.h>
#include <kernel/guest/domain/domain.h>

#define SLP_TYP MASK(4, 2)
#define SLP_EN BIT(5)

/* WAK_STS stays 0, since the guest never wakes from sleep. */
static int read_power(void *ctx __unused, struct vcpu *v __unused, u64 offset __unused,
		      unsigned int size __unused, u64 *value)
{
	*value = 0;
	return 0;
}

static int write_power(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 value)
{
	struct domain *d = ctx;
	u64 port = GUEST_SLEEP_CONTROL + offset;

	if (size != 1)
		return 0;
	if (port == GUEST_SLEEP_CONTROL && (value & SLP_EN) &&
	    FIELD_GET(SLP_TYP, value) == GUEST_SLP_TYP_S5)
		domain_shutdown(d, "powered off", 0);
	else if (port == GUEST_RESET && value == GUEST_RESET_VALUE)
		domain_reboot(d, "asked for a reboot", 0);
	return 0;
}

#define KEYBOARD_COMMAND 0x64
#define COMMAND_PULSE_RESET 0xfe

static int write_keyboard(void *ctx, struct vcpu *v __unused, u64 offset __unused,
			  unsigned int size, u64 value)
{
	if (size == 1 && value == COMMAND_PULSE_RESET)
		domain_reboot(ctx, "asked for a reboot", 0);
	return 0;
}

int guestpower_init(struct domain *d, bool legacy)
{
	const struct bus_range power = {
		.first = GUEST_SLEEP_CONTROL,
		.last = GUEST_RESET,
		.ctx = d,
		.read = read_power,
		.write = write_power,
	};
	const struct bus_range keyboard = {
		.first = KEYBOARD_COMMAND,
		.last = KEYBOARD_COMMAND,
		.ctx = d,
		.write = write_keyboard,
	};
	int ret = bus_add(&d->vm.io, &power);

	return ret || legacy ? ret : bus_add(&d->vm.io, &keyboard);
}
