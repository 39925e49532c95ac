/* Configuration space in host memory, by ECAM, and 2 GiB of RAM. The stand-in functions are defined
 * here, so only one file of a program may include it, behind cmocka. */
#pragma once

#include <stdlib.h>
#include <sys/mman.h>

#include <drivers/acpi.h>
#include <kernel/core/paging.h>
#include <kernel/lib/rangeset.h>
#include <kernel/lib/string.h>
#include <kernel/mm/bootmem.h>

#define ECAM_BASE 0xb0000000UL
#define ECAM_SIZE (256UL << 20)
#define RAM_FRAMES 0x80000UL

static u8 *ecam;

const struct acpi_header *acpi_find(const char signature[4])
{
	static const u64 something[8];

	return memcmp(signature, "MCFG", 4) ? NULL : (const void *)something;
}

u32 acpi_parse_mcfg(const struct acpi_header *table, struct acpi_ecam *out, u32 max)
{
	(void)table;
	assert_true(max >= 1);
	out[0] = (struct acpi_ecam){ .address = ECAM_BASE, .last_bus = 255 };
	return 1;
}

volatile void *mmio_map(paddr_t pa, size_t size)
{
	assert_true(pa >= ECAM_BASE && pa + size <= ECAM_BASE + ECAM_SIZE);
	return ecam + (pa - ECAM_BASE);
}

void *kzalloc(size_t size)
{
	return calloc(1, size);
}

const struct rangeset *bootmem_ram(void)
{
	static struct range range[1] = { { 0, RAM_FRAMES - 1 } };
	static struct rangeset ram = { .range = range, .nr = 1, .max = 1 };

	return &ram;
}

static bool map_ecam(void)
{
	ecam = mmap(NULL, ECAM_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return ecam != MAP_FAILED;
}
