/* The kinds of hardware that the model runs on. */
#include <iommu/regs.h>
#include <kernel/lib/compiler.h>
#include <tests/model/program.h>

const struct model_config model_configs[MODEL_CONFIGS] = {
	{ "4 levels, no snooping", { 0 }, false },
	{ "4 levels, no snooping, errors", { 0 }, true },
	{ "snooping", { .ecap_set = ECAP_C }, true },
	{ "3 levels", { .cap_set = CAP_SAGAW_39, .cap_clear = CAP_SAGAW_48 }, true },
	{ "5 levels",
	  { .cap_set = CAP_SAGAW_57 | CAP_MGAW, .cap_clear = CAP_SAGAW_48 | CAP_SAGAW_39 },
	  false },
	{ "no 1G, snoop control", { .cap_clear = CAP_SLLPS_1G, .ecap_set = ECAP_SC }, true },
	{ "no superpages", { .cap_clear = CAP_SLLPS_1G | CAP_SLLPS_2M, .ecap_set = ECAP_C }, true },
	{ "no page-selective flushes", { .cap_clear = CAP_PSI }, false },
	{ "flushes of at most 16 pages",
	  { .cap_clear = CAP_MAMV, .cap_set = FIELD_PREP(CAP_MAMV, 4UL) },
	  true },
	{ "caching mode", { .cap_set = CAP_CM, .ecap_set = ECAP_C }, true },
	{ "caching mode, no snooping", { .cap_set = CAP_CM }, false },
	{ "no device TLBs, no ranges of interrupt entries",
	  { .ecap_clear = ECAP_DT | ECAP_MHMV },
	  false },
};
