/* What a guest finds of a PC's firmware: ACPI tables, and its ways to switch the machine off or to reset it:
 *
 *	sleep register, reset register    ACPI 6.5, 4.8.3.7 and 4.8.3.6
 *	keyboard controller               its reset line, which kernels without ACPI pull; there is no such controller else
 *	reset vector                      a jump there in real mode starts a PC's firmware; Linux' last way of a machine without EFI
 *	                                  that has hardware-reduced ACPI
 */
#include <kernel/guest/devices/guestacpi.h>

#include <kernel/guest/domain/domain.h>
#include <kernel/core/log.h>
#include <kernel/guest/memory/memory.h>

#define SLP_TYP MASK(4, 2)
#define SLP_EN BIT(5)

/* Nothing to remember: WAK_STS stays 0, since there is no sleep to wake from. */
static int power_read(void *ctx __unused, struct vcpu *v __unused, u64 offset __unused,
		      unsigned int size __unused, u64 *value)
{
	*value = 0;
	return 0;
}

static int power_write(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 value)
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

static int keyboard_write(void *ctx, struct vcpu *v __unused, u64 offset __unused,
			  unsigned int size, u64 value)
{
	if (size == 1 && value == COMMAND_PULSE_RESET)
		domain_reboot(ctx, "asked for a reboot", 0);
	return 0;
}

int guestpower_init(struct domain *d)
{
	const struct bus_range power = {
		.first = GUEST_SLEEP_CONTROL,
		.last = GUEST_RESET,
		.ctx = d,
		.read = power_read,
		.write = power_write,
	};
	const struct bus_range keyboard = {
		.first = KEYBOARD_COMMAND, .last = KEYBOARD_COMMAND, .ctx = d, .write = keyboard_write
	};
	int ret = bus_add(&d->vm.io, &power);

	return ret ? ret : bus_add(&d->vm.io, &keyboard);
}

/* mov dx, GUEST_RESET; mov al, GUEST_RESET_VALUE; out dx, al; hlt */
static const u8 reset_code[] = { 0xba, GUEST_RESET & 0xff, GUEST_RESET >> 8,
				 0xb0, GUEST_RESET_VALUE,  0xee,
				 0xf4 };

int guestfirmware_write(struct domain *d, u32 nr_vcpus)
{
	u8 tables[GUEST_ACPI_MAX];
	size_t size = guestacpi_make(tables, nr_vcpus);
	int ret = guest_write(&d->vm.memory, GUEST_RSDP, tables, size);

	if (!ret)
		ret = guest_write(&d->vm.memory, GUEST_RESET_VECTOR, reset_code, sizeof(reset_code));
	if (ret)
		log_err("domain %s: its firmware tables cannot be written: error %d", d->name, ret);
	return ret;
}
