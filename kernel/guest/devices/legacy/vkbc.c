/* A keyboard controller without a keyboard. See vkbc.h. */
#include <kernel/guest/devices/legacy/vkbc.h>

#include <kernel/guest/devices/legacy/legacy.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/string.h>

#define DATA_PORT 0x60
#define COMMAND_PORT 0x64
#define CONTROL_PORT_A 0x92
#define KEYBOARD_IRQ 1

#define STATUS_FULL 0x01 /* there is a byte to be read */
#define STATUS_SYSTEM 0x04 /* as in the configuration byte */
#define STATUS_COMMAND 0x08 /* what was written last */
#define STATUS_UNLOCKED 0x10
#define STATUS_AUX_FULL 0x20 /* the byte comes from the second port */
#define STATUS_TIMEOUT 0x40

/* The configuration byte, at address 0 of the controller's memory. */
#define CONFIG_IRQ 0x01
#define CONFIG_SYSTEM 0x04 /* the self-test has passed */
#define CONFIG_KEYBOARD_OFF 0x10
#define CONFIG_AUX_OFF 0x20
#define CONFIG_TRANSLATE 0x40

/* The output port, and port A. */
#define OUTPUT_NO_RESET 0x01
#define OUTPUT_A20 0x02
#define PORT_A_RESET 0x01
#define PORT_A_A20 0x02

enum {
	READ_RAM = 0x20, /* to 0x3f */
	WRITE_RAM = 0x60, /* to 0x7f */
	AUX_DISABLE = 0xa7,
	AUX_ENABLE = 0xa8,
	AUX_TEST = 0xa9,
	SELF_TEST = 0xaa,
	KEYBOARD_TEST = 0xab,
	KEYBOARD_DISABLE = 0xad,
	KEYBOARD_ENABLE = 0xae,
	READ_INPUT_PORT = 0xc0,
	READ_OUTPUT_PORT = 0xd0,
	WRITE_OUTPUT_PORT = 0xd1,
	WRITE_OUTPUT_BUFFER = 0xd2,
	WRITE_AUX_BUFFER = 0xd3,
	WRITE_AUX = 0xd4,
	A20_OFF = 0xdd,
	A20_ON = 0xdf,
	READ_TEST_INPUTS = 0xe0,
	PULSE = 0xf0, /* to 0xff: the output port's bits 0 to 3 that are 0 */
};

#define TEST_PASSED 0x55
#define CLOCK_STUCK_LOW 0x01 /* the answer of a port without a device that holds its clock */
#define INPUT_PORT 0x80 /* the keyboard is not locked */
#define RESEND 0xfe /* the answer when a device has not answered in time */

static void answer(struct vkbc *k, u8 byte, u8 flags)
{
	k->byte = byte;
	k->flags = STATUS_FULL | flags;
}

static void set_config(struct vkbc *k, u8 clear, u8 set)
{
	k->ram[0] = (u8)((k->ram[0] & ~clear) | set);
}

static void set_a20(struct vkbc *k, bool on)
{
	k->output_port = (u8)((k->output_port & ~OUTPUT_A20) | (on ? OUTPUT_A20 : 0));
}

/* Commands of a range. False: it is another one. */
static bool ranged_command(struct vkbc *k, u8 command, bool *reset)
{
	switch (command & 0xf0) {
	case READ_RAM:
	case READ_RAM + 0x10:
		answer(k, k->ram[command & 0x1f], 0);
		return true;
	case WRITE_RAM:
	case WRITE_RAM + 0x10:
		k->pending = command;
		return true;
	case PULSE:
		*reset = !(command & OUTPUT_NO_RESET);
		return true;
	}
	return false;
}

static void command(struct vkbc *k, u8 value, bool *reset)
{
	k->pending = 0;
	k->last_was_command = true;
	if (ranged_command(k, value, reset))
		return;
	switch (value) {
	case AUX_DISABLE:
		set_config(k, 0, CONFIG_AUX_OFF);
		break;
	case AUX_ENABLE:
		set_config(k, CONFIG_AUX_OFF, 0);
		break;
	case KEYBOARD_DISABLE:
		set_config(k, 0, CONFIG_KEYBOARD_OFF);
		break;
	case KEYBOARD_ENABLE:
		set_config(k, CONFIG_KEYBOARD_OFF, 0);
		break;
	case AUX_TEST:
	case KEYBOARD_TEST:
		answer(k, CLOCK_STUCK_LOW, 0);
		break;
	case SELF_TEST:
		set_config(k, 0, CONFIG_SYSTEM | CONFIG_KEYBOARD_OFF | CONFIG_AUX_OFF);
		answer(k, TEST_PASSED, 0);
		break;
	case READ_INPUT_PORT:
		answer(k, INPUT_PORT, 0);
		break;
	case READ_OUTPUT_PORT:
		answer(k, k->output_port, 0);
		break;
	case READ_TEST_INPUTS:
		answer(k, 0, 0);
		break;
	case WRITE_OUTPUT_PORT:
	case WRITE_OUTPUT_BUFFER:
	case WRITE_AUX_BUFFER:
	case WRITE_AUX:
		k->pending = value;
		break;
	case A20_OFF:
	case A20_ON:
		set_a20(k, value == A20_ON);
		break;
	}
}

/* A parameter, or a byte for the keyboard. */
static void data(struct vkbc *k, u8 value, bool *reset)
{
	u8 pending = k->pending;

	k->pending = 0;
	k->last_was_command = false;
	switch (pending) {
	case 0:
		set_config(k, CONFIG_KEYBOARD_OFF, 0);
		answer(k, RESEND, STATUS_TIMEOUT);
		break;
	case WRITE_AUX:
		answer(k, RESEND, STATUS_TIMEOUT | STATUS_AUX_FULL);
		break;
	case WRITE_OUTPUT_PORT:
		k->output_port = value | OUTPUT_NO_RESET;
		*reset = !(value & OUTPUT_NO_RESET);
		break;
	case WRITE_OUTPUT_BUFFER:
	case WRITE_AUX_BUFFER: /* there is no second port: drivers see that by its flag */
		answer(k, value, 0);
		break;
	default: /* WRITE_RAM */
		k->ram[pending & 0x1f] = value;
	}
}

static void control_a(struct vkbc *k, u8 value, bool *reset)
{
	set_a20(k, value & PORT_A_A20);
	*reset = value & PORT_A_RESET;
}

static u8 status(struct vkbc *k)
{
	return k->flags | (k->ram[0] & CONFIG_SYSTEM ? STATUS_SYSTEM : 0) |
	       (k->last_was_command ? STATUS_COMMAND : 0) | STATUS_UNLOCKED;
}

static u8 read_data(struct vkbc *k)
{
	k->flags = 0;
	return k->byte;
}

static u8 read_control_a(struct vkbc *k)
{
	return k->output_port & OUTPUT_A20 ? PORT_A_A20 : 0;
}

static void set_irq(struct legacy *l)
{
	const struct vkbc *k = &l->kbc;

	legacy_set_irq(l, KEYBOARD_IRQ, (k->flags & STATUS_FULL) && (k->ram[0] & CONFIG_IRQ));
}

static int read_by(struct legacy *l, u8 (*read)(struct vkbc *k), unsigned int size, u64 *value)
{
	if (size != 1)
		return 0;
	spin_lock(&l->lock);
	*value = read(&l->kbc);
	set_irq(l);
	spin_unlock(&l->lock);
	return 0;
}

static int write_by(struct legacy *l, void (*write)(struct vkbc *k, u8 value, bool *reset),
		    unsigned int size, u64 value)
{
	bool reset = false;

	if (size != 1)
		return 0;
	spin_lock(&l->lock);
	write(&l->kbc, (u8)value, &reset);
	set_irq(l);
	spin_unlock(&l->lock);
	if (reset)
		domain_reboot(l->domain, "asked for a reboot", 0);
	return 0;
}

/* --- ports: between these are others, so each is a range ------------------ */

#define HANDLERS(name, read_it, write_it)                                                          \
	static int read_##name(void *ctx, struct vcpu *v __unused, u64 offset __unused,            \
			       unsigned int size, u64 *value)                                      \
	{                                                                                          \
		return read_by(ctx, read_it, size, value);                                         \
	}                                                                                          \
	static int write_##name(void *ctx, struct vcpu *v __unused, u64 offset __unused,           \
				unsigned int size, u64 value)                                      \
	{                                                                                          \
		return write_by(ctx, write_it, size, value);                                       \
	}

HANDLERS(data_port, read_data, data)
HANDLERS(command_port, status, command)
HANDLERS(port_a, read_control_a, control_a)

int vkbc_add_ports(struct legacy *l)
{
	const struct bus_range ranges[] = {
		{ DATA_PORT, DATA_PORT, l, read_data_port, write_data_port },
		{ COMMAND_PORT, COMMAND_PORT, l, read_command_port, write_command_port },
		{ CONTROL_PORT_A, CONTROL_PORT_A, l, read_port_a, write_port_a },
	};
	int ret = 0;

	for (u32 i = 0; !ret && i < ARRAY_SIZE(ranges); i++)
		ret = bus_add(&l->domain->vm.io, &ranges[i]);
	return ret;
}

void vkbc_reset(struct legacy *l)
{
	struct vkbc *k = &l->kbc;

	memset(k, 0, sizeof(*k));
	k->ram[0] = CONFIG_SYSTEM | CONFIG_AUX_OFF | CONFIG_TRANSLATE;
	k->output_port = OUTPUT_NO_RESET | OUTPUT_A20;
}
