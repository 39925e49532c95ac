/* Names of SVM's exit codes for the exit ring. */
#pragma once

#include <kernel/lib/types.h>

/* The name of an exit code; "?" if Weir does not know it. */
const char *svm_exit_name(u32 code);
