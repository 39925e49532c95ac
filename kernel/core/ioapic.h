/* I/O APICs (82093AA data sheet): Weir uses messages only, so all that is done is to silence
 * them. */
#pragma once

#include <drivers/acpi.h>

/* Mask every line of this I/O APIC. False if it does not answer or can not be mapped (said in the
 * log). */
bool ioapic_mask_all(const struct acpi_ioapic *ioapic);
