/* The result of one bounded step of a long operation. A function that can also fail returns int:
 * one of these, or a negative error. */
#pragma once

enum step {
	STEP_DONE, /* nothing is left to do */
	STEP_MORE, /* call it again soon */
	STEP_WAIT, /* something must happen first; whoever waits for it calls again */
};
