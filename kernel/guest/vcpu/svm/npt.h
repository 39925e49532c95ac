/* AMD's format of nested page table entries. */
#pragma once

/* Make it the nested tables' format; boot. */
void npt_init(void);
