/* The text screen of a guest: its registers, and what the control domain's shell shows of it. */
#include <tests/guests/guest.h>

#include <kernel/abi/hypercall.h>

#define SCREEN 0xb8000UL
#define COLUMNS 80u
#define CRTC 0x3d4
#define STATUS 0x3da
#define RETRACE 0x08

static u8 crtc(u8 index)
{
	outb(CRTC, index);
	return inb(CRTC + 1);
}

/* As most kernels do it: one word has the index and the value. */
static void set_crtc(u8 index, u8 value)
{
	outw(CRTC, (u16)(value << 8 | index));
}

static void set_cursor(u32 at)
{
	set_crtc(0x0f, (u8)at);
	set_crtc(0x0e, (u8)(at >> 8));
}

/* Kernels wait for the next retrace like this. */
static bool retraces(void)
{
	u32 left = 1000000;

	while ((inb(STATUS) & RETRACE) && left)
		left--;
	while (!(inb(STATUS) & RETRACE) && left)
		left--;
	return left;
}

static u8 attribute(u8 index)
{
	u8 value;

	(void)inb(STATUS); /* the next byte is an index */
	outb(0x3c0, index);
	value = inb(0x3c1);
	(void)inb(STATUS);
	outb(0x3c0, 0x20); /* the palette is in use again */
	return value;
}

void test_vga(void)
{
	volatile u16 *cell = (volatile u16 *)SCREEN;
	u8 blink;

	if (!under_weir) {
		print("vga: skipped\n");
		return;
	}
	*cell = 0x0741;
	CHECK_EQ("vga: the screen is memory", *cell, 0x0741);
	*cell = 0x0720;
	CHECK_EQ("vga: colour, so its registers are at 0x3d4", inb(0x3cc) & 1, 1);
	CHECK_EQ("vga: the cursor is shown in the first cell", crtc(0x0e) << 8 | crtc(0x0f), 0);
	set_cursor(0x07cf);
	CHECK_EQ("vga: it has been moved", crtc(0x0e) << 8 | crtc(0x0f), 0x07cf);
	outb(CRTC, 0x0e);
	CHECK_EQ("vga: the index can be read", inb(CRTC), 0x0e);
	CHECK_EQ("vga: index and data in one word", inw(CRTC), 0x070e);
	set_cursor(0);
	CHECK("vga: a retrace begins", retraces());
	blink = attribute(0x10);
	CHECK_EQ("vga: text with blinking characters", blink & 0x09, 0x08);
	(void)inb(STATUS);
	outb(0x3c0, 0x10);
	outb(0x3c0, blink & (u8)~0x08);
	CHECK_EQ("vga: bright backgrounds instead", attribute(0x10), blink & (u8)~0x08);
	(void)inb(STATUS);
	outb(0x3c0, 0x10);
	outb(0x3c0, blink);
	CHECK_EQ("vga: no graphics", inb(0x3cf) & 1, 0);
	CHECK_EQ("vga: no palette", inb(0x3c9), 0xff);
}

static void show(u32 row, u32 column, const char *text)
{
	volatile u16 *cell = (volatile u16 *)SCREEN + row * COLUMNS + column;

	while (*text)
		*cell++ = (u16)(0x0700 | (u8)*text++);
}

/* For the control domain to look at. It then sleeps, which keeps the domain. */
static void stay(const char *ready)
{
	print("%s\n", ready);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void test_screen(void)
{
	show(0, 0, "screen: the first line");
	show(2, 76, "ends");
	show(3, 2, "\xc9\xcd\xbb \xb3\x01\x84\x7f\xff\x00");
	show(24, 79, "%");
	set_cursor(24 * COLUMNS + 7);
	stay("screen: is shown");
}

/* The screen begins elsewhere, after the end of which its memory begins again. */
void test_screen_scrolled(void)
{
	u32 start = 0x4000 - COLUMNS * 3 / 2;

	set_crtc(0x0c, (u8)(start >> 8));
	set_crtc(0x0d, (u8)start);
	show(0, 0, "from the beginning");
	for (u32 i = 0; i < 5; i++)
		((volatile u16 *)SCREEN)[start + i] = (u16)(0x0700 | "begin"[i]);
	set_crtc(0x0a, 0x20);
	stay("screen: is shown");
}

void test_screen_gone(void)
{
	show(0, 0, "not to be seen");
	CHECK_EQ("screen: its page is given back",
		 hypercall(WEIR_HC_MEM_RELEASE, SCREEN >> PAGE_SHIFT, 1, 0), 1);
	stay("screen: is gone");
}
