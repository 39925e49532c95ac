/* ELF executables, 32 and 64 bits, x86 (System V ABI, chapters 4 and 5). Every number in the file
 * is checked against the file's and the guest's size before it is used. */
#pragma once

#include <kernel/guest/loader/layout.h>
#include <kernel/guest/loader/load.h>

struct elf {
	const u8 *file;
	u64 len;
	bool is64;
	u64 entry;
	u64 phoff;
	u32 phnum, phentsize;
};

/* A program header, whatever the class. */
struct elf_segment {
	u32 type;
	u64 offset, vaddr, paddr, file_size, mem_size, align;
};
#define ELF_PT_LOAD 1
#define ELF_PT_NOTE 4

bool elf_has_magic(const u8 *file, u64 len);
/* Check the header and that the program headers lie in the file. -EINVAL with *error. */
int __must_check elf_open(struct elf *elf, const u8 *file, u64 len, struct loader_error *error);
/* Program header i < phnum, unchecked but readable. */
struct elf_segment elf_segment(const struct elf *elf, u32 i);

/* Check all loadable segments and occupy their memory. -EINVAL, -ENOSPC with *error. */
int __must_check elf_claim(const struct elf *elf, struct guest_layout *layout,
			   struct loader_error *error);
/* Write them, after elf_claim(). Returns 0, or what guest_memory returned, with *error. */
int __must_check elf_write(const struct elf *elf, const struct guest_memory *memory,
			   struct loader_error *error);
/* The physical address of a virtual address that lies in a loadable segment; false if it lies in
 * none. */
bool elf_virt_to_phys(const struct elf *elf, u64 vaddr, u64 *paddr);
/* True if the physical address lies in a loadable segment, in the part that comes from the file:
 * there can be code. */
bool elf_has_code_at(const struct elf *elf, u64 paddr);

struct elf_note {
	const char *name;
	u32 type;
	const u8 *desc; /* into the file */
	u32 desc_len; /* bytes that are readable there */
};
/* Find the note of this name and type, and fill in its descriptor. A broken note ends its segment's
 * list; false if there is none. */
bool elf_find_note(const struct elf *elf, struct elf_note *note);
