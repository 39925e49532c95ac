/* PCI addresses as lspci prints them. */
#include <kernel/lib/pci_id.h>

#include <kernel/lib/string.h>

/* Exactly `digits` hexadecimal digits off the front of *text. */
static bool take_hex(const char **text, const char *end, int digits, u32 *n)
{
	*n = 0;
	if (end - *text < digits)
		return false;
	for (; digits; digits--) {
		char c = *(*text)++;

		if (c >= '0' && c <= '9')
			*n = *n << 4 | (u32)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			*n = *n << 4 | (u32)((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	return true;
}

static bool take_char(const char **text, const char *end, char c)
{
	return *text < end && *(*text)++ == c;
}

bool pci_parse_address(const char *text, size_t length, struct pci_id *id)
{
	const char *end = text + length;
	u32 segment = 0, bus, dev, fn;

	if (length > 7 && (!take_hex(&text, end, 4, &segment) || !take_char(&text, end, ':')))
		return false;
	if (!take_hex(&text, end, 2, &bus) || !take_char(&text, end, ':') ||
	    !take_hex(&text, end, 2, &dev) || !take_char(&text, end, '.') ||
	    !take_hex(&text, end, 1, &fn) || text != end || dev > 31 || fn > 7)
		return false;
	*id = (struct pci_id){ (u16)segment, (u16)PCI_BDF(bus, dev, fn) };
	return true;
}

const char *pci_name(struct pci_id id, char buf[16])
{
	if (id.segment)
		snprintf(buf, 16, "%04x:%02x:%02x.%u", id.segment, id.bdf >> 8, id.bdf >> 3 & 31,
			 id.bdf & 7);
	else
		snprintf(buf, 16, "%02x:%02x.%u", id.bdf >> 8, id.bdf >> 3 & 31, id.bdf & 7);
	return buf;
}
