/* CAP and ECAP of a unit with certain features (VT-d, sections 11.4.2 and 11.4.3), and where the
 * registers are whose place these name. */
#pragma once

#include <bochs/unit/features.h>

namespace bochs
{

uint64_t capability(const Features &features);
uint64_t extended_capability(const Features &features);
/* Of the first fault recording register; each has 16 bytes. */
unsigned fault_recording_offset(const Features &features);
/* Of IVA_REG; IOTLB_REG follows it. */
unsigned iotlb_offset();
/* Of all registers: whole pages. */
unsigned register_bytes(const Features &features);
/* Bits of the addresses that devices use: CAP.MGAW + 1. */
unsigned guest_address_width(const Features &features);

} // namespace bochs
