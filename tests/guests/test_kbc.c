/* The keyboard controller of a PC, as small kernels and Linux use it. Without Weir, there is a
 * keyboard. */
#include <tests/guests/guest.h>

#define DATA 0x60
#define COMMAND 0x64
#define FULL 0x01
#define BUSY 0x02
#define TIMEOUT 0x40

/* As a kernel waits, which gives up only here. */
static u8 status_with(u8 mask, u8 value)
{
	u32 left = 100000;

	while ((inb(COMMAND) & mask) != value && left)
		left--;
	return inb(COMMAND);
}

static void command(u8 value)
{
	(void)status_with(BUSY, 0);
	outb(COMMAND, value);
}

static void parameter(u8 value)
{
	(void)status_with(BUSY, 0);
	outb(DATA, value);
}

static u8 answer(void)
{
	(void)status_with(FULL, FULL);
	return inb(DATA);
}

static u8 ask(u8 value)
{
	command(value);
	return answer();
}

static void flush(void)
{
	for (u32 i = 0; i < 100 && (inb(COMMAND) & FULL); i++) {
		(void)inb(DATA);
		spin_us(50);
	}
}

static void test_no_keyboard(void)
{
	if (!under_weir)
		return;
	CHECK_EQ("kbc: no device at the first port", ask(0xab), 1);
	CHECK_EQ("kbc: nor at the second", ask(0xa9), 1);
	parameter(0xff);
	CHECK("kbc: a byte for the keyboard times out", status_with(FULL, FULL) & TIMEOUT);
	CHECK_EQ("kbc: and is to be sent again", answer(), 0xfe);
	/* Linux looks for a second port like this. */
	command(0xd3);
	parameter(0x5a);
	CHECK_EQ("kbc: no second port", status_with(FULL, FULL) & 0x21, FULL);
	(void)answer();
}

void test_kbc(void)
{
	u8 config;

	command(0xad);
	command(0xa7);
	flush();
	CHECK_EQ("kbc: it is ready", inb(COMMAND) & (FULL | BUSY), 0);
	config = ask(0x20);
	CHECK_EQ("kbc: both ports are off", config & 0x30, 0x30);
	CHECK_EQ("kbc: its self-test", ask(0xaa), 0x55);
	CHECK("kbc: and the system flag", inb(COMMAND) & 0x04);
	command(0x60);
	parameter((config & (u8)~0x03) | 0x40);
	CHECK_EQ("kbc: its configuration is as written", ask(0x20), (config & (u8)~0x03) | 0x40);
	command(0xae);
	CHECK_EQ("kbc: the first port is on", ask(0x20) & 0x30, 0x20);
	CHECK_EQ("kbc: no reset, and address line 20", ask(0xd0) & 0x03, 0x03);
	command(0xd1);
	parameter(0xdf);
	CHECK_EQ("kbc: the fast gate of that line", inb(0x92) & 0x03, 0x02);
	command(0xd2);
	parameter(0x1c);
	CHECK_EQ("kbc: a byte as from a keyboard", answer(), 0x1c);
	test_no_keyboard();
	command(0xad);
	flush();
}
