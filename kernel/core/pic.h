/* The two 8259 interrupt controllers, which Weir does not use. */
#pragma once

/* Move their vectors away from the exceptions, and mask every line. */
void pic_disable(void);
