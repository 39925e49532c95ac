/* The machine's own console: what is typed there is the input of the control domain. */
#pragma once

/* Pass the console's input on from now on. Boot, once. */
void hostconsole_start(void);
