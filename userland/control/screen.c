/* The command screen: shows what a domain has written to its text screen. */
#include <string.h>
#include <kernel/lib/errno.h>
#include "shell.h"

/* For each character of code page 437, one in ASCII that looks like it. */
static const char ascii[257] = " ..*****.o.....*><|!..-|^v><.-^v"
			       " !\"#$%&'()*+,-./0123456789:;<=>?"
			       "@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_"
			       "`abcdefghijklmnopqrstuvwxyz{|}~."
			       "CueaaaaceeeiiiAAEaAooouuyOUcLY.f"
			       "aiounN..?....!<>###|++++++|+++++"
			       "++++-++++++++=+++++++++++++#####"
			       ".B....u.........=+><../=o*....# ";

static struct weir_screen screen __aligned(8);

/* Without the blanks at its end. */
static size_t read_row(u32 row, char *text)
{
	const u16 *cell = &screen.cell[row * WEIR_SCREEN_COLUMNS];
	size_t len = 0;

	for (u32 i = 0; i < WEIR_SCREEN_COLUMNS; i++) {
		text[i] = ascii[cell[i] & 0xff];
		if (text[i] != ' ')
			len = i + 1;
	}
	return len;
}

/* Without the blank rows at its end. */
static void print_screen(void)
{
	char text[WEIR_SCREEN_COLUMNS];
	u32 rows = WEIR_SCREEN_ROWS;

	while (rows && !read_row(rows - 1, text))
		rows--;
	for (u32 row = 0; row < rows; row++) {
		print_raw(text, read_row(row, text));
		print("\n");
	}
	if (!rows)
		print("  the screen is blank\n");
	if (screen.cursor == WEIR_SCREEN_NO_CURSOR)
		print("  no cursor\n");
	else
		print("  cursor: line %u, column %u\n", screen.cursor / WEIR_SCREEN_COLUMNS + 1,
		      screen.cursor % WEIR_SCREEN_COLUMNS + 1);
}

void screen_command(int argc, char **argv)
{
	struct weir_domain_info d;

	(void)argc;
	if (!find_domain(argv[0], &d))
		return;
	switch (hypercall(WEIR_HC_SCREEN, d.id, (u64)&screen, sizeof(screen))) {
	case 0:
		print_screen();
		return;
	case -ENODEV:
		print("\"%s\": this domain has given back the memory of its screen (0xb8000)\n",
		      argv[0]);
		return;
	case -EBUSY:
		print("\"%s\": this domain is being built; try again\n", argv[0]);
		return;
	default:
		print("\"%s\": this domain has just ended\n", argv[0]);
	}
}
