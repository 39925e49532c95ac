/* AMD's format of nested page table entries. */
#pragma once

/* Make this the format of the nested tables (nested_format). Each CPU, at boot. */
void npt_init(void);
