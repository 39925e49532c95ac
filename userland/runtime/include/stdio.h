/* C's stdio.h, as far as the guests need it. Output goes to the console. */
#pragma once

#include <kernel/string.h>
#include <userland/runtime/console.h>
