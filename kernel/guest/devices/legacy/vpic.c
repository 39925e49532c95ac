/* See kernel/guest/devices/legacy/vpic.h. The names of the command words are from the 8259A's data
 * sheet. */
#include <kernel/guest/devices/legacy/vpic.h>

#define NOT_OFFERED (-1)

#define ICW1 BIT(4)
#define ICW1_IC4 BIT(0)
#define ICW1_SNGL BIT(1)
#define ICW4_AEOI BIT(1)
#define ICW4_SFNM BIT(4)
#define OCW3 BIT(3)
#define OCW3_RIS BIT(0)
#define OCW3_RR BIT(1)
#define OCW3_POLL BIT(2)
#define OCW3_SMM BIT(5)
#define OCW3_ESMM BIT(6)
#define OCW2_LINE MASK(2, 0)
#define OCW2_COMMAND MASK(7, 5)
#define POLL_PENDING BIT(7)

enum { ROTATE_AUTO_OFF, EOI, NOTHING, EOI_OF, ROTATE_AUTO_ON, ROTATE_EOI, SET_PRIORITY, ROTATE_OF };

static bool is_first(const struct vpic *p, const struct vpic_chip *c)
{
	return c == &p->chip[0];
}

/* 0 is the highest priority. */
static u32 rank(const struct vpic_chip *c, int line)
{
	return (u32)(line - c->lowest - 1) & 7;
}

/* The line with the highest priority of these; -1: there is none. */
static int highest(const struct vpic_chip *c, u8 lines)
{
	for (u32 i = 1; i <= 8; i++)
		if (lines & 1u << ((c->lowest + i) & 7))
			return (c->lowest + i) & 7;
	return -1;
}

/* The line that the chip would have acknowledged; -1: its output is low. */
static int pending(const struct vpic *p, const struct vpic_chip *c)
{
	u8 isr = c->isr;
	int line = highest(c, c->irr & (u8)~c->imr), in_service;

	if (c->special_mask)
		isr &= (u8)~c->imr;
	if (c->special_nested && is_first(p, c))
		isr &= (u8) ~(1u << VPIC_CASCADE);
	in_service = highest(c, isr);
	return line >= 0 && in_service >= 0 && rank(c, in_service) <= rank(c, line) ? -1 : line;
}

/* The first chip's cascade line follows the second one's output. */
static void cascade(struct vpic *p)
{
	struct vpic_chip *first = &p->chip[0];

	first->irr &= (u8) ~(1u << VPIC_CASCADE);
	if (pending(p, &p->chip[1]) >= 0)
		first->irr |= 1u << VPIC_CASCADE;
}

void vpic_set_line(struct vpic *p, u32 line, bool level)
{
	struct vpic_chip *c = &p->chip[line / 8 & 1];
	u8 bit = (u8)(1u << line % 8);

	if (is_first(p, c) && line == VPIC_CASCADE)
		return;
	if (level && !(c->lines & bit))
		c->irr |= bit;
	c->lines = (u8)(level ? c->lines | bit : c->lines & ~bit);
	cascade(p);
}

bool vpic_output(const struct vpic *p)
{
	return pending(p, &p->chip[0]) >= 0;
}

int vpic_offer(struct vpic *p)
{
	int line = p->offered < 0 ? pending(p, &p->chip[0]) : -1;
	struct vpic_chip *c = &p->chip[line == VPIC_CASCADE];

	if (line < 0)
		return -1;
	p->spurious = false;
	if (line == VPIC_CASCADE) {
		line = pending(p, c);
		p->spurious = line < 0;
		line = p->spurious ? 7 : line;
	}
	p->offered = line + (is_first(p, c) ? 0 : 8);
	/* A request that comes from now on is a new one. */
	if (!p->spurious)
		c->irr &= (u8) ~(1u << line);
	cascade(p);
	return c->base + line;
}

static void acknowledge(struct vpic_chip *c, int line)
{
	if (!c->auto_end)
		c->isr |= (u8)(1u << line);
	else if (c->rotate_auto)
		c->lowest = (u8)line;
}

void vpic_settle(struct vpic *p, bool taken)
{
	int line = p->offered;
	struct vpic_chip *c = &p->chip[line >= 8];

	p->offered = NOT_OFFERED;
	if (line < 0)
		return;
	if (!taken) {
		if (!p->spurious)
			c->irr |= (u8)(1u << (line & 7));
	} else {
		if (line >= 8)
			acknowledge(&p->chip[0], VPIC_CASCADE);
		if (!p->spurious)
			acknowledge(c, line & 7);
	}
	cascade(p);
}

static u8 read_poll(struct vpic *p, struct vpic_chip *c)
{
	int line = pending(p, c);

	c->poll = false;
	if (line < 0)
		return 0;
	c->irr &= (u8) ~(1u << line);
	acknowledge(c, line);
	cascade(p);
	return (u8)(POLL_PENDING | (u32)line);
}

u8 vpic_read(struct vpic *p, u32 chip, bool second)
{
	struct vpic_chip *c = &p->chip[chip];

	if (c->poll)
		return read_poll(p, c);
	if (second)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}

static void initialise(struct vpic *p, struct vpic_chip *c, u8 word1)
{
	u8 lines = c->lines, base = c->base;

	*c = (struct vpic_chip){
		.lines = lines,
		.base = base,
		.lowest = 7,
		.next_word = 2,
		.single = word1 & ICW1_SNGL,
		.needs_word4 = word1 & ICW1_IC4,
	};
	p->offered = NOT_OFFERED;
}

static void initialise_more(struct vpic_chip *c, u8 word)
{
	u8 last = c->needs_word4 ? 4 : 0;

	switch (c->next_word) {
	case 2:
		c->base = word & 0xf8;
		c->next_word = c->single ? last : 3;
		break;
	case 3: /* how the chips are wired, which is known */
		c->next_word = last;
		break;
	case 4:
		c->auto_end = word & ICW4_AEOI;
		c->special_nested = word & ICW4_SFNM;
		c->next_word = 0;
		break;
	}
}

static void end(struct vpic_chip *c, int line, bool rotate)
{
	if (line < 0)
		return;
	c->isr &= (u8) ~(1u << line);
	if (rotate)
		c->lowest = (u8)line;
}

static void operate(struct vpic_chip *c, u8 word2)
{
	int line = (int)FIELD_GET(OCW2_LINE, word2);
	u8 ends = c->special_mask ? c->isr & (u8)~c->imr : c->isr;

	switch (FIELD_GET(OCW2_COMMAND, word2)) {
	case ROTATE_AUTO_OFF:
	case ROTATE_AUTO_ON:
		c->rotate_auto = FIELD_GET(OCW2_COMMAND, word2) == ROTATE_AUTO_ON;
		break;
	case EOI:
	case ROTATE_EOI:
		end(c, highest(c, ends), FIELD_GET(OCW2_COMMAND, word2) == ROTATE_EOI);
		break;
	case EOI_OF:
	case ROTATE_OF:
		end(c, line, FIELD_GET(OCW2_COMMAND, word2) == ROTATE_OF);
		break;
	case SET_PRIORITY:
		c->lowest = (u8)line;
		break;
	case NOTHING:
		break;
	}
}

void vpic_write(struct vpic *p, u32 chip, bool second, u8 value)
{
	struct vpic_chip *c = &p->chip[chip];

	if (second && c->next_word) {
		initialise_more(c, value);
	} else if (second) {
		c->imr = value;
	} else if (value & ICW1) {
		initialise(p, c, value);
	} else if (value & OCW3) {
		c->poll = value & OCW3_POLL;
		if (value & OCW3_RR)
			c->read_isr = value & OCW3_RIS;
		if (value & OCW3_ESMM)
			c->special_mask = value & OCW3_SMM;
	} else {
		operate(c, value);
	}
	cascade(p);
}

void vpic_power_on(struct vpic *p)
{
	*p = (struct vpic){ .offered = NOT_OFFERED };
	for (u32 i = 0; i < 2; i++)
		p->chip[i] = (struct vpic_chip){ .imr = 0xff, .base = i ? 0x70 : 8, .lowest = 7 };
}
