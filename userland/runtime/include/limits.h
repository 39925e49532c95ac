/* The part of the C library that lwIP and the guests use: limits. */
#pragma once

#define INT_MAX __INT_MAX__
#define UINT_MAX (__INT_MAX__ * 2u + 1)
#define LONG_MAX __LONG_MAX__
#define SSIZE_MAX __LONG_MAX__
