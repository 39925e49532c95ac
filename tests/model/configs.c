/* The kinds of hardware that the model runs on. */
#include <iommu/regs.h>
#include <kernel/lib/compiler.h>
#include <tests/model/program.h>

const struct model_config model_configs[MODEL_CONFIGS] = {
	{ .name = "4 levels, no snooping" },
	{ .name = "4 levels, no snooping, errors", .errors = true },
	{ .name = "snooping", .hardware = { .ecap_set = ECAP_C }, .errors = true },
	{ .name = "3 levels",
	  .hardware = { .cap_set = CAP_SAGAW_39, .cap_clear = CAP_SAGAW_48 },
	  .errors = true },
	{ .name = "5 levels",
	  .hardware = { .cap_set = CAP_SAGAW_57 | CAP_MGAW,
			.cap_clear = CAP_SAGAW_48 | CAP_SAGAW_39 } },
	{ .name = "no 1G, snoop control, a virtual function",
	  .hardware = { .cap_clear = CAP_SLLPS_1G, .ecap_set = ECAP_SC | ECAP_DIT },
	  .errors = true,
	  .virtual = true },
	{ .name = "no superpages",
	  .hardware = { .cap_clear = CAP_SLLPS_1G | CAP_SLLPS_2M, .ecap_set = ECAP_C },
	  .errors = true },
	{ .name = "no page-selective flushes", .hardware = { .cap_clear = CAP_PSI } },
	{ .name = "flushes of at most 16 pages",
	  .hardware = { .cap_clear = CAP_MAMV, .cap_set = FIELD_PREP(CAP_MAMV, 4UL) },
	  .errors = true },
	{ .name = "caching mode",
	  .hardware = { .cap_set = CAP_CM, .ecap_set = ECAP_C },
	  .errors = true },
	{ .name = "caching mode, no snooping", .hardware = { .cap_set = CAP_CM } },
	{ .name = "no device TLBs", .hardware = { .ecap_clear = ECAP_DT } },
	{ .name = "only unit 0 snoops",
	  .hardware = { .only[0].ecap_set = ECAP_C | ECAP_SC },
	  .errors = true },
	{ .name = "unit 0 walks snooping, unit 1 has snoop control",
	  .hardware = { .only[0].ecap_set = ECAP_C, .only[1].ecap_set = ECAP_SC } },
};
