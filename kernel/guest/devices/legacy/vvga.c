/* The registers of a text screen. See vvga.h. */
#include <kernel/guest/devices/legacy/vvga.h>

#include <kernel/guest/devices/legacy/legacy.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/string.h>

#define FIRST_PORT 0x3c0
#define LAST_PORT 0x3df

enum {
	ATTRIBUTE = 0x3c0, /* index and data in turn; its data is read from the next port */
	MISC_WRITE = 0x3c2,
	SEQUENCER = 0x3c4,
	MISC_READ = 0x3cc,
	GRAPHICS = 0x3ce,
	CRTC = 0x3d4,
	STATUS = 0x3da,
};

#define ATTRIBUTE_INDEX 0x1f /* bit 5 of the port says whether the palette is in use */
#define STATUS_RETRACE 0x09 /* bit 0: nothing is displayed, bit 3: the vertical retrace */

/* Registers of the CRT controller. */
enum { CURSOR_START = 0x0a, START_HIGH = 0x0c, START_LOW, CURSOR_HIGH, CURSOR_LOW };
#define CURSOR_OFF 0x20

/* What a BIOS writes for mode 3. */
#define MISC_MODE3 0x67
static const u8 sequencer_mode3[] = { 0x03, 0x00, 0x03, 0x00, 0x02 };
static const u8 graphics_mode3[] = { 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff };
static const u8 crtc_mode3[] = { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00,
				 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e,
				 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff };
static const u8 attribute_mode3[] = { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14,
				      0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d,
				      0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00 };

/* The set whose index or data port this is. NULL: it is neither. */
static struct vvga_set *find_set(struct vvga *s, u64 port, u8 *mask)
{
	switch (port & ~1UL) {
	case SEQUENCER:
		*mask = 0x07;
		return &s->sequencer;
	case GRAPHICS:
		*mask = 0x0f;
		return &s->graphics;
	case CRTC:
		*mask = 0x1f;
		return &s->crtc;
	}
	return NULL;
}

/* Kernels wait until a retrace ends and the next one begins: each read is in the other state. */
static u8 read_status(struct vvga *s)
{
	s->attribute_data = false;
	s->status ^= STATUS_RETRACE;
	return s->status;
}

static u8 read_port(struct vvga *s, u64 port)
{
	u8 mask;
	struct vvga_set *set = find_set(s, port, &mask);

	if (set)
		return port & 1 ? set->reg[set->index] : set->index;
	switch (port) {
	case ATTRIBUTE:
		return s->attribute.index;
	case ATTRIBUTE + 1:
		return s->attribute.reg[s->attribute.index & ATTRIBUTE_INDEX];
	case MISC_READ:
		return s->misc;
	case STATUS:
		return read_status(s);
	}
	return 0xff;
}

static void write_attribute(struct vvga *s, u8 value)
{
	if (s->attribute_data)
		s->attribute.reg[s->attribute.index & ATTRIBUTE_INDEX] = value;
	else
		s->attribute.index = value & (0x20 | ATTRIBUTE_INDEX);
	s->attribute_data = !s->attribute_data;
}

static void write_port(struct vvga *s, u64 port, u8 value)
{
	u8 mask;
	struct vvga_set *set = find_set(s, port, &mask);

	if (set && port & 1)
		set->reg[set->index] = value;
	else if (set)
		set->index = value & mask;
	else if (port == ATTRIBUTE)
		write_attribute(s, value);
	else if (port == MISC_WRITE)
		s->misc = value;
}

/* Kernels write an index and its data as one word: each byte goes to its own port. */
static int read_ports(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 *value)
{
	struct legacy *l = ctx;

	*value = 0;
	spin_lock(&l->lock);
	for (u32 i = 0; i < size; i++)
		*value |= (u64)read_port(&l->vga, FIRST_PORT + offset + i) << 8 * i;
	spin_unlock(&l->lock);
	return 0;
}

static int write_ports(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 value)
{
	struct legacy *l = ctx;

	spin_lock(&l->lock);
	for (u32 i = 0; i < size; i++)
		write_port(&l->vga, FIRST_PORT + offset + i, (u8)(value >> 8 * i));
	spin_unlock(&l->lock);
	return 0;
}

int vvga_add_ports(struct legacy *l)
{
	const struct bus_range r = {
		.first = FIRST_PORT,
		.last = LAST_PORT,
		.ctx = l,
		.read = read_ports,
		.write = write_ports,
	};

	return bus_add(&l->domain->vm.io, &r);
}

void vvga_reset(struct legacy *l)
{
	struct vvga *s = &l->vga;

	memset(s, 0, sizeof(*s));
	s->misc = MISC_MODE3;
	memcpy(s->sequencer.reg, sequencer_mode3, sizeof(sequencer_mode3));
	memcpy(s->graphics.reg, graphics_mode3, sizeof(graphics_mode3));
	memcpy(s->crtc.reg, crtc_mode3, sizeof(crtc_mode3));
	memcpy(s->attribute.reg, attribute_mode3, sizeof(attribute_mode3));
	s->attribute.index = 0x20;
}

struct vvga_view vvga_view(struct legacy *l)
{
	struct vvga_view view = { 0 };
	const u8 *reg;

	if (!l)
		return view;
	reg = l->vga.crtc.reg;
	spin_lock(&l->lock);
	view.start = (u16)(reg[START_HIGH] << 8 | reg[START_LOW]);
	view.cursor = (u16)(reg[CURSOR_HIGH] << 8 | reg[CURSOR_LOW]);
	view.has_cursor = !(reg[CURSOR_START] & CURSOR_OFF);
	spin_unlock(&l->lock);
	return view;
}
