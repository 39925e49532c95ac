# Weir's build. `make help` lists what it can do.

BUILD ?= build
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
NASM ?= nasm
LD ?= ld
PYTHON ?= /usr/bin/python3
Q := $(if $(V),,@)

WARN := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wshadow
CFLAGS := -std=gnu11 -O2 -g $(WARN) -I. -MMD -MP \
	-ffreestanding -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone -mgeneral-regs-only \
	-fno-omit-frame-pointer -fno-optimize-sibling-calls -fno-stack-protector -fno-strict-aliasing \
	-fno-asynchronous-unwind-tables -fcf-protection=none \
	-ffunction-sections -fdata-sections

C_SRCS := $(wildcard boot/*.c kernel/*.c kernel/*/*.c iommu/*.c drivers/*.c)
ASM_SRCS := $(wildcard boot/*.asm kernel/*.asm kernel/*/*.asm)
OBJS := $(C_SRCS:%.c=$(BUILD)/%.o) $(ASM_SRCS:%.asm=$(BUILD)/%.asm.o)

.PHONY: all unit iso clean help
all: $(BUILD)/weir.elf

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(CC) $(CFLAGS) -c $< -o $@

$(BUILD)/%.asm.o: %.asm
	@mkdir -p $(@D)
	$(if $(V),,@echo "  NASM    $<")
	$(Q)$(NASM) -f elf64 -g -F dwarf -I. -MD $(@:.o=.d) -MT $@ $< -o $@

$(BUILD)/weir.elf: $(OBJS) linker.ld
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(LD) -n -nostdlib -static -z max-page-size=4096 --no-warn-rwx-segments --gc-sections -T linker.ld -o $@ $(OBJS)

-include $(OBJS:.o=.d)
-include userland/build.mk

# Unit tests: each tests/unit/test_*.c names its sources in a line "sources:", and libraries in a line "libs:".
UNIT_SRCS := $(wildcard tests/unit/test_*.c)
UNIT_BINS := $(UNIT_SRCS:tests/unit/%.c=$(BUILD)/tests/%)
UNIT_CFLAGS := -std=gnu11 -O1 -g -Wall -Wextra -Werror -DWEIR_HOST -I. -fsanitize=address,undefined -fno-omit-frame-pointer

define UNIT_RULE
$(BUILD)/tests/$(1): tests/unit/$(1).c tests/unit/host.c $(shell sed -n 's|.*sources: *\([^*]*\).*|\1|p' tests/unit/$(1).c)
	@mkdir -p $$(@D)
	$(if $(V),,@echo "  TEST    $(1)")
	$$(Q)$$(CC) $$(UNIT_CFLAGS) $$(filter %.c,$$^) -o $$@ $(shell sed -n 's|.*libs: *\([^*]*\).*|\1|p' tests/unit/$(1).c) -lcmocka -lpthread
endef
$(foreach t,$(UNIT_SRCS:tests/unit/%.c=%),$(eval $(call UNIT_RULE,$(t))))

unit: $(UNIT_BINS)
	$(Q)for t in $(UNIT_BINS); do echo "== $$t"; $$t || exit 1; done

$(BUILD)/weir.iso: $(BUILD)/weir.elf boot/grub.cfg
	$(Q)rm -rf $(BUILD)/iso && mkdir -p $(BUILD)/iso/boot/grub
	$(Q)cp boot/grub.cfg $(BUILD)/iso/boot/grub/ && objcopy -S $< $(BUILD)/iso/boot/weir.elf
	$(Q)cp $(wildcard $(BUILD)/userland/*.elf) $(BUILD)/iso/boot/ 2>/dev/null || true
	$(Q)grub-mkrescue -o $@ $(BUILD)/iso 2>/dev/null

iso: $(BUILD)/weir.iso

clean:
	rm -rf $(BUILD)
