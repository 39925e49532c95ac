/* Finds the breakpoints that an access meets. */
#include <kernel/guest/vcpu/breakpoint.h>

#include <kernel/x86/debug.h>

static bool watches(u64 type, enum access_kind kind)
{
	switch (type) {
	case DR7_TYPE_WRITE:
		return kind == ACCESS_WRITE;
	case DR7_TYPE_PORT:
		return kind == ACCESS_PORT;
	case DR7_TYPE_ACCESS:
		return kind != ACCESS_PORT;
	default:
		return false;
	}
}

u64 breakpoints_met(u64 dr7, const u64 dr[4], enum access_kind kind, u64 address, unsigned int size)
{
	u64 met = 0;

	for (unsigned int i = 0; i < 4; i++) {
		u64 length = DR7_LENGTH(dr7, i), first = dr[i] & ~(length - 1);

		if ((dr7 & DR7_ENABLED(i)) && watches(DR7_TYPE(dr7, i), kind) &&
		    (address - first < length || first - address < size))
			met |= BIT(i);
	}
	return met;
}
