/* Intel 8259A data sheet: initialisation command words 1 to 4, then the mask. */
#include <kernel/core/pic.h>

#include <kernel/x86/io.h>

#define PIC1 0x20
#define PIC2 0xa0
/* Even a masked controller can raise a spurious line 7: it must not look like an exception. */
#define PIC1_VECTORS 0x20
#define PIC2_VECTORS 0x28

void pic_disable(void)
{
	outb(PIC1, 0x11); /* ICW1: cascade, ICW4 follows */
	outb(PIC2, 0x11);
	outb(PIC1 + 1, PIC1_VECTORS); /* ICW2 */
	outb(PIC2 + 1, PIC2_VECTORS);
	outb(PIC1 + 1, 1 << 2); /* ICW3: the second one is on line 2 */
	outb(PIC2 + 1, 2);
	outb(PIC1 + 1, 0x01); /* ICW4: 8086 mode */
	outb(PIC2 + 1, 0x01);
	outb(PIC1 + 1, 0xff);
	outb(PIC2 + 1, 0xff);
}
