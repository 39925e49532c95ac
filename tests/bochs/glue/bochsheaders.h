/* Bochs' own headers, in the order that they need. Their directory is a system directory for the
 * compiler, so that it does not warn of what is in them. */
#pragma once

#define BX_PLUGGABLE

#include <iodev.h>
#include <pci.h>
