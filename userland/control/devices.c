/* The commands devices, attach and detach. */
#include <stdio.h>
#include <string.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include "shell.h"

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
	static const char *const name[] = { "free",	 "attaching",	"attached",
					    "detaching", "quarantined", "gone" };

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
	print("%-12s %-9s %-15s %-16s %-11s %s\n", "device", "id", "class", "domain", "state",
	      "reset");
	for (u64 i = 0; get_device(i, &d); i++)
		print("%-12s %04x:%04x %04x %-10s %-16s %-11s %s\n", device_name(d.device, name),
		      d.vendor, d.id, d.class, class_name(d.class), domain_name(d.owner),
		      d.why_not[0] && d.state != WEIR_DEVICE_GONE ? "Weir's" : state_name(d.state),
		      d.why_not[0] ? d.why_not :
		      d.reset[0]   ? d.reset :
				     "none: keeps its state for the next owner");
}

/* Parse exactly `digits` hexadecimal digits, followed by `end`. */
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
		print("\"%s\": not a PCI address; write bus:device.function, as in 00:03.0\n",
		      text);
		return false;
	}
	for (u64 i = 0; get_device(i, info); i++)
		if (info->device == device)
			return true;
	print("\"%s\": no such device; type devices for a list\n", text);
	return false;
}

/* --- attach and detach ---------------------------------------------------- */

/* Wait until the device is no longer being attached or detached; false: Ctrl-C was typed. */
static bool wait_for(u64 device, struct weir_device_info *d)
{
	for (;;) {
		for (u64 i = 0; get_device(i, d) && d->device != device; i++)
			;
		if (d->state != WEIR_DEVICE_ATTACHING && d->state != WEIR_DEVICE_DETACHING)
			return true;
		if (shell_interrupted()) {
			print("^C: still %s; see devices\n", state_name(d->state));
			return false;
		}
		shell_sleep(POLL_NS);
	}
}

static const char *why_not_permitted(const struct weir_device_info *d,
				     const struct weir_domain_info *to, bool ats)
{
	if (d->why_not[0])
		return d->why_not;
	if (ats && d->why_no_ats[0])
		return d->why_no_ats;
	if (to->control)
		return "the firmware reserved memory for it, so no domain can own it with "
		       "control-iommu=none";
	return "only the control domain can own it: the firmware reserved memory for it, or its "
	       "virtual functions are enabled";
}

static void say_why_not_attached(s64 error, const char *text, const struct weir_device_info *d,
				 const struct weir_domain_info *to, bool ats)
{
	switch (error) {
	case -EPERM:
		print("\"%s\": %s\n", text, why_not_permitted(d, to, ats));
		break;
	case -EBUSY:
		print("\"%s\": it is %s (domain %s); detach it first\n", text, state_name(d->state),
		      domain_name(d->owner));
		break;
	case -ENOENT:
		print("\"%s\": this domain has just ended\n", to->name);
		break;
	default:
		print("\"%s\": it cannot be attached (error %ld)\n", text, -error);
	}
}

void attach_command(int argc, char **argv)
{
	struct weir_device_info device;
	struct weir_domain_info domain;
	bool ats = argc == 3;
	s64 ret;

	if (ats && strcmp(argv[2], "ats")) {
		print("\"%s\": unknown word; only ats is allowed here\n", argv[2]);
		return;
	}
	if (!find_device(argv[0], &device) || !find_domain(argv[1], &domain))
		return;
	ret = hypercall(WEIR_HC_DEVICE_ATTACH, device.device, domain.id, ats ? WEIR_ATTACH_ATS : 0);
	if (ret) {
		say_why_not_attached(ret, argv[0], &device, &domain, ats);
		return;
	}
	if (!wait_for(device.device, &device))
		return;
	if (device.state == WEIR_DEVICE_ATTACHED && device.owner == domain.id)
		print("%s: attached to %s\n", argv[0], domain.name);
	else
		print("\"%s\": it could not be attached; the last error in the log says why\n",
		      argv[0]);
}

void detach_command(int argc, char **argv)
{
	struct weir_device_info device;
	char from[32];

	(void)argc;
	if (!find_device(argv[0], &device))
		return;
	copy_string(from, domain_name(device.owner), sizeof(from));
	if (hypercall(WEIR_HC_DEVICE_DETACH, device.device, 0, 0)) {
		print("\"%s\": it is %s; there is nothing to detach\n", argv[0],
		      state_name(device.state));
		return;
	}
	if (wait_for(device.device, &device))
		print("%s: detached from %s, %s\n", argv[0], from, state_name(device.state));
}

/* --- rescan --------------------------------------------------------------- */

static u32 count(u32 *gone)
{
	struct weir_device_info d;
	u32 n = 0;

	*gone = 0;
	for (u64 i = 0; get_device(i, &d); i++, n++)
		*gone += d.state == WEIR_DEVICE_GONE;
	return n;
}

void rescan_command(int argc, char **argv)
{
	u32 gone, before = count(&gone), after;
	s64 position = 0;

	(void)argc;
	(void)argv;
	do {
		position = hypercall(WEIR_HC_RESCAN, (u64)position, 0, 0);
		if (shell_interrupted()) {
			print("^C: not all buses have been looked at\n");
			return;
		}
	} while (position > 0);
	if (position < 0) {
		print("rescan: somebody else is doing this (error %ld)\n", -position);
		return;
	}
	after = count(&gone);
	print("%u functions: %u new, %u gone; devices shows them, the log says what has changed\n",
	      after, after - before, gone);
}
