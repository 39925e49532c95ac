/* Decodes what an exit does not report when SVM has no decode assists. */
#include <kernel/guest/quirks/noassists.h>

#include <kernel/guest/emulate/guestlinear.h>
#include <kernel/lib/errno.h>
#include <kernel/x86/control.h>

#define OPCODE_ESCAPE 0x0f /* the first byte of most that exit */

static bool in_long_mode(struct vcpu *v)
{
	struct vcpu_mode m;

	vcpu_backend->mode(v, &m);
	return mode_is_64bit(&m);
}

static bool is_prefix(u8 byte, bool long_mode)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65: /* segments */
	case 0x66:
	case 0x67:
	case 0xf0:
	case 0xf2:
	case 0xf3:
		return true;
	default:
		return long_mode && (byte & 0xf0) == 0x40; /* REX */
	}
}

static unsigned int count_prefixes(const u8 *bytes, unsigned int nr, bool long_mode)
{
	unsigned int prefixes = 0;

	while (prefixes < nr && is_prefix(bytes[prefixes], long_mode))
		prefixes++;
	return prefixes;
}

unsigned int noassists_prefixes(struct vcpu *v, const u8 *bytes, unsigned int nr)
{
	return count_prefixes(bytes, nr, in_long_mode(v));
}

u64 noassists_next_rip(struct vcpu *v, unsigned int opcode_length)
{
	u64 rip = v->rip + opcode_length;
	struct guest_view g;
	bool long_mode;
	u8 bytes[15];
	int first;

	guest_view(&g, v);
	long_mode = mode_is_64bit(&g.mode);
	/* Most have no prefix: then one byte is enough. */
	first = guest_first_byte(&g);
	if (first != OPCODE_ESCAPE && first >= 0 && is_prefix((u8)first, long_mode))
		rip += count_prefixes(bytes, guest_fetch_all(&g, bytes), long_mode);
	return long_mode ? rip : (u32)rip;
}

enum guest_segment noassists_outs_segment(struct vcpu *v)
{
	static const struct {
		u8 prefix;
		enum guest_segment segment;
	} table[] = { { 0x26, SEG_ES }, { 0x2e, SEG_CS }, { 0x36, SEG_SS },
		      { 0x3e, SEG_DS }, { 0x64, SEG_FS }, { 0x65, SEG_GS } };
	bool long_mode = in_long_mode(v);
	enum guest_segment s = SEG_DS;
	u8 bytes[15];
	unsigned int nr = guest_fetch(v, bytes);

	for (unsigned int i = 0; i < nr && is_prefix(bytes[i], long_mode); i++)
		for (unsigned int k = 0; k < ARRAY_SIZE(table); k++)
			if (bytes[i] == table[k].prefix)
				s = table[k].segment;
	return s;
}

int noassists_cr_source(struct vcpu *v, unsigned int cr)
{
	bool long_mode = in_long_mode(v);
	u8 bytes[15], rex = 0;
	unsigned int nr = guest_fetch(v, bytes), at = 0;

	for (; at < nr && is_prefix(bytes[at], long_mode); at++)
		rex = long_mode && (bytes[at] & 0xf0) == 0x40 ? bytes[at] : 0;
	/* CR8 is encoded as CR0 with a prefix, REX.R or LOCK. */
	if (at + 3 > nr || bytes[at] != 0x0f || bytes[at + 1] != 0x22 ||
	    (bytes[at + 2] >> 3 & 7) != (cr & 7))
		return -ENOENT;
	return (bytes[at + 2] & 7) | (rex & 1 ? 8 : 0);
}
