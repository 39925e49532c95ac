/* How the exit ring names SVM's exit codes. */
#pragma once

#include <kernel/lib/types.h>

/* "?" for one that Weir does not handle. */
const char *svm_exit_name(u32 code);
