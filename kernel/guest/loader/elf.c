/* ELF executables: their headers, segments and notes. */
#include <kernel/guest/loader/elf.h>

#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>

struct ehdr32 {
	u8 ident[16];
	u16 type, machine;
	u32 version, entry, phoff, shoff, flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
_Static_assert(sizeof(struct ehdr32) == 52, "System V ABI, figure 4-3");

struct ehdr64 {
	u8 ident[16];
	u16 type, machine;
	u32 version;
	u64 entry, phoff, shoff;
	u32 flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
_Static_assert(sizeof(struct ehdr64) == 64, "System V ABI, figure 4-3");

struct phdr32 {
	u32 type, offset, vaddr, paddr, filesz, memsz, flags, align;
};
_Static_assert(sizeof(struct phdr32) == 32, "System V ABI, figure 5-1");

struct phdr64 {
	u32 type, flags;
	u64 offset, vaddr, paddr, filesz, memsz, align;
};
_Static_assert(sizeof(struct phdr64) == 56, "System V ABI, figure 5-1");

struct nhdr {
	u32 namesz, descsz, type;
};

#define EI_CLASS 4
#define EI_DATA 5
#define EI_VERSION 6
#define ELFCLASS32 1
#define ELFCLASS64 2
#define ELFDATA2LSB 1
#define ET_EXEC 2
#define EM_386 3
#define EM_X86_64 62

/* [offset, offset + size) lies in a file of len bytes. */
static bool in_file(u64 offset, u64 size, u64 len)
{
	return offset <= len && size <= len - offset;
}

bool elf_has_magic(const u8 *file, u64 len)
{
	return len >= 16 && !memcmp(file, "\177ELF", 4);
}

/* Read the header of either class. Returns the size of a program header. */
static u32 read_elf_header(struct elf *elf, u16 *type, u16 *machine)
{
	struct ehdr32 h32;
	struct ehdr64 h64;

	if (elf->is64) {
		memcpy(&h64, elf->file, sizeof(h64));
		*type = h64.type;
		*machine = h64.machine;
		elf->entry = h64.entry;
		elf->phoff = h64.phoff;
		elf->phnum = h64.phnum;
		elf->phentsize = h64.phentsize;
		return sizeof(struct phdr64);
	}
	memcpy(&h32, elf->file, sizeof(h32));
	*type = h32.type;
	*machine = h32.machine;
	elf->entry = h32.entry;
	elf->phoff = h32.phoff;
	elf->phnum = h32.phnum;
	elf->phentsize = h32.phentsize;
	return sizeof(struct phdr32);
}

int elf_open(struct elf *elf, const u8 *file, u64 len, struct loader_error *error)
{
	u16 type, machine;
	u32 want_size;

	if (!elf_has_magic(file, len))
		return loader_fail(error, -EINVAL,
				   "not an ELF file; build it as one, "
				   "or give its Multiboot header the address fields");
	if (file[EI_DATA] != ELFDATA2LSB || file[EI_VERSION] != 1 ||
	    (file[EI_CLASS] != ELFCLASS32 && file[EI_CLASS] != ELFCLASS64))
		return loader_fail(error, -EINVAL,
				   "ELF class %u, data %u, version %u: "
				   "not an x86 file of version 1; build it for i386 or x86-64",
				   file[EI_CLASS], file[EI_DATA], file[EI_VERSION]);

	*elf = (struct elf){ .file = file, .len = len, .is64 = file[EI_CLASS] == ELFCLASS64 };
	if (len < (elf->is64 ? sizeof(struct ehdr64) : sizeof(struct ehdr32)))
		return loader_fail(error, -EINVAL,
				   "ELF file of %llu bytes ends within its header; copy it again",
				   (unsigned long long)len);
	want_size = read_elf_header(elf, &type, &machine);
	if (machine != EM_386 && machine != EM_X86_64)
		return loader_fail(error, -EINVAL,
				   "the ELF file is for machine %u; build it for i386 or x86-64",
				   machine);
	if (type != ET_EXEC)
		return loader_fail(error, -EINVAL,
				   "ELF file is of type %u, not a static executable (2); "
				   "link it without -pie, -shared or -r",
				   type);
	if (!elf->phnum || elf->phentsize < want_size)
		return loader_fail(error, -EINVAL,
				   "ELF file has no usable program headers (%u of %u bytes); "
				   "link it as an executable",
				   elf->phnum, elf->phentsize);
	if (!in_file(elf->phoff, (u64)elf->phnum * elf->phentsize, len))
		return loader_fail(error, -EINVAL,
				   "ELF program headers at %llx lie beyond the end of the file "
				   "(%llu bytes); it is truncated, copy it again",
				   (unsigned long long)elf->phoff, (unsigned long long)len);
	return 0;
}

struct elf_segment elf_segment(const struct elf *elf, u32 i)
{
	const u8 *at = elf->file + elf->phoff + (u64)i * elf->phentsize;

	if (elf->is64) {
		struct phdr64 p;

		memcpy(&p, at, sizeof(p));
		return (struct elf_segment){ p.type,   p.offset, p.vaddr, p.paddr,
					     p.filesz, p.memsz,	 p.align };
	} else {
		struct phdr32 p;

		memcpy(&p, at, sizeof(p));
		return (struct elf_segment){ p.type,   p.offset, p.vaddr, p.paddr,
					     p.filesz, p.memsz,	 p.align };
	}
}

/* The segment's part of the file, which must lie in it. */
static const u8 *elf_bytes(const struct elf *elf, const struct elf_segment *s)
{
	return elf->file + s->offset;
}

int elf_claim(const struct elf *elf, struct guest_layout *layout, struct loader_error *error)
{
	u32 loadable = 0;

	for (u32 i = 0; i < elf->phnum; i++) {
		struct elf_segment s = elf_segment(elf, i);
		unsigned long long at = s.offset;

		if (s.type != ELF_PT_LOAD || !s.mem_size)
			continue;
		if (s.file_size && !in_file(s.offset, s.file_size, elf->len))
			return loader_fail(error, -EINVAL,
					   "ELF segment %u: %llu bytes at offset %llx lie beyond "
					   "the end of the file (%llu bytes); "
					   "it is truncated, copy it again",
					   i, (unsigned long long)s.file_size, at,
					   (unsigned long long)elf->len);
		if (s.file_size > s.mem_size)
			return loader_fail(error, -EINVAL,
					   "ELF segment %u: %llu bytes in the file, "
					   "but %llu in memory; link it again",
					   i, (unsigned long long)s.file_size,
					   (unsigned long long)s.mem_size);
		if (layout_claim(layout, s.paddr, s.mem_size))
			return loader_fail(error, -ENOSPC,
					   "ELF segment %u does not fit: %llu bytes at %llx are "
					   "not all usable in %llu KiB of RAM (its first "
					   "640 KiB, and from 1 MiB up); give more mem= "
					   "or link it elsewhere",
					   i, (unsigned long long)s.mem_size,
					   (unsigned long long)s.paddr,
					   (unsigned long long)layout->ram >> 10);
		loadable++;
	}
	if (!loadable)
		return loader_fail(error, -EINVAL,
				   "ELF file has no loadable segment; link it as an executable");
	return 0;
}

int elf_write(const struct elf *elf, const struct guest_memory *memory, struct loader_error *error)
{
	for (u32 i = 0; i < elf->phnum; i++) {
		struct elf_segment s = elf_segment(elf, i);
		int err = 0;

		if (s.type != ELF_PT_LOAD || !s.mem_size)
			continue;
		/* A segment with nothing but bss may have any offset. */
		if (s.file_size)
			err = memory->write(memory->ctx, s.paddr, elf_bytes(elf, &s), s.file_size);
		if (!err)
			err = memory->zero(memory->ctx, s.paddr + s.file_size,
					   s.mem_size - s.file_size);
		if (err)
			return loader_fail(error, err,
					   "ELF segment %u: guest memory at %llx cannot be "
					   "written: error %d",
					   i, (unsigned long long)s.paddr, err);
	}
	return 0;
}

bool elf_virt_to_phys(const struct elf *elf, u64 vaddr, u64 *paddr)
{
	for (u32 i = 0; i < elf->phnum; i++) {
		struct elf_segment s = elf_segment(elf, i);

		if (s.type != ELF_PT_LOAD || vaddr < s.vaddr || vaddr - s.vaddr >= s.mem_size)
			continue;
		*paddr = s.paddr + (vaddr - s.vaddr);
		return true;
	}
	return false;
}

bool elf_has_code_at(const struct elf *elf, u64 paddr)
{
	for (u32 i = 0; i < elf->phnum; i++) {
		struct elf_segment s = elf_segment(elf, i);

		/* A segment that takes no memory is not loaded, even if the file has bytes for
		 * it. */
		if (s.type == ELF_PT_LOAD && s.mem_size && paddr >= s.paddr &&
		    paddr - s.paddr < s.file_size)
			return true;
	}
	return false;
}

static u64 round_up(u64 n, u64 align)
{
	return (n + align - 1) & ~(align - 1);
}

/* Find a note in the `len` bytes of one note segment. Name and descriptor are padded to the
 * segment's alignment: 4, or 8 in files that say so. */
static bool find_note_in_segment(const u8 *notes, u64 len, u64 align, struct elf_note *note)
{
	size_t name_size = strlen(note->name) + 1;
	u64 at = 0;

	while (len - at >= sizeof(struct nhdr)) {
		struct nhdr h;
		u64 desc_at;

		memcpy(&h, notes + at, sizeof(h));
		desc_at = round_up(sizeof(h) + (u64)h.namesz, align);
		if (!in_file(desc_at, h.descsz, len - at))
			return false;
		if (h.type == note->type && h.namesz == name_size &&
		    !memcmp(notes + at + sizeof(h), note->name, name_size)) {
			note->desc = notes + at + desc_at;
			note->desc_len = h.descsz;
			return true;
		}
		at += round_up(desc_at + h.descsz, align);
		if (at > len)
			return false;
	}
	return false;
}

bool elf_find_note(const struct elf *elf, struct elf_note *note)
{
	for (u32 i = 0; i < elf->phnum; i++) {
		struct elf_segment s = elf_segment(elf, i);
		u64 align = s.align == 8 ? 8 : 4;

		if (s.type == ELF_PT_NOTE && in_file(s.offset, s.file_size, elf->len) &&
		    find_note_in_segment(elf_bytes(elf, &s), s.file_size, align, note))
			return true;
	}
	return false;
}
