/* What lwIP and the runtime need of the C library: limits. */
#pragma once

#define INT_MAX __INT_MAX__
#define UINT_MAX (__INT_MAX__ * 2u + 1)
#define LONG_MAX __LONG_MAX__
#define SSIZE_MAX __LONG_MAX__
