#include "shell.h"

#include <stdio.h>

static const char *class_name(u16 class)
{
	switch (class >> 8) {
	case 0x01:
		return "storage";
	case 0x02:
		return "network";
	case 0x03:
		return "display";
	case 0x04:
		return "multimedia";
	case 0x06:
		return "bridge";
	case 0x0c:
		return "serial bus";
	default:
		return "other";
	}
}

static const char *state_name(u8 state)
{
	static const char *const name[] = { "free", "attaching", "attached", "detaching", "cut off" };

	return state < ARRAY_SIZE(name) ? name[state] : "?";
}

static bool get_device(u64 index, struct weir_device_info *d)
{
	return hypercall(WEIR_HC_DEVICE_INFO, index, (u64)d, sizeof(*d)) > 0;
}

static const char *device_name(u64 device, char buf[16])
{
	u32 segment = (u32)(device >> 16), bdf = device & 0xffff;

	if (segment)
		snprintf(buf, 16, "%04x:%02x:%02x.%u", segment, bdf >> 8, bdf >> 3 & 31, bdf & 7);
	else
		snprintf(buf, 16, "%02x:%02x.%u", bdf >> 8, bdf >> 3 & 31, bdf & 7);
	return buf;
}

void devices_command(int argc, char **argv)
{
	struct weir_device_info d;
	char name[16];

	(void)argc;
	(void)argv;
	print("%-12s %-9s %-15s %-16s %-9s %s\n", "device", "id", "class", "domain", "state", "reset");
	for (u64 i = 0; get_device(i, &d); i++)
		print("%-12s %04x:%04x %04x %-10s %-16s %-9s %s\n", device_name(d.device, name),
		      d.vendor, d.id, d.class, class_name(d.class), domain_name(d.owner),
		      d.why_not[0] ? "Weir's" : state_name(d.state),
		      d.why_not[0] ? d.why_not :
		      d.reset[0]   ? d.reset :
				     "none: its next owner finds it as this one leaves it");
}

/* Exactly `digits` hexadecimal digits, and `end` behind them. */
static bool take(const char **p, int digits, char end, u32 *n)
{
	*n = 0;
	for (int i = 0; i < digits; i++, (*p)++) {
		char c = **p;

		if (c >= '0' && c <= '9')
			*n = *n << 4 | (u32)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			*n = *n << 4 | (u32)((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	if (**p != end)
		return false;
	(*p)++;
	return true;
}

static bool parse(const char *text, u32 *device)
{
	u32 segment = 0, bus, dev, fn;
	const char *p = text;

	if (!take(&p, 4, ':', &segment)) {
		segment = 0;
		p = text;
	}
	if (!take(&p, 2, ':', &bus) || !take(&p, 2, '.', &dev) || !take(&p, 1, 0, &fn) ||
	    dev > 31 || fn > 7)
		return false;
	*device = segment << 16 | bus << 8 | dev << 3 | fn;
	return true;
}

bool find_device(const char *text, struct weir_device_info *info)
{
	u32 device;

	if (!parse(text, &device)) {
		print("\"%s\": no PCI address; write bus:device.function as lspci does: 00:03.0\n",
		      text);
		return false;
	}
	for (u64 i = 0; get_device(i, info); i++)
		if (info->device == device)
			return true;
	print("\"%s\": there is no such device; devices lists them\n", text);
	return false;
}
