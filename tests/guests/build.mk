# Test guests: small Multiboot kernels that print PASS and FAIL lines. They are 32-bit ELF files, because QEMU's -kernel
# accepts no others.

TEST_GUEST_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -I. -MMD -MP -ffreestanding -fno-pic -fno-pie -m64 \
	-mno-red-zone -mgeneral-regs-only -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none
TEST_GUEST_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/guests/*.c)) $(BUILD)/tests/guests/start.asm.o \
	$(BUILD)/tests/guests/inject.asm.o
# The one that takes random steps has its own traps.
FUZZ_GUEST_OBJS := $(patsubst %.c,$(BUILD)/%.o,tests/guests/guest.c $(wildcard tests/guests/fuzz/*.c)) \
	$(BUILD)/tests/guests/start.asm.o $(BUILD)/tests/guests/fuzz/recover.asm.o
TEST_GUESTS := $(BUILD)/tests/guests/cpu.elf $(BUILD)/tests/guests/fuzz.elf

$(BUILD)/tests/guests/%.o: tests/guests/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(TEST_GUEST_CFLAGS) -c $< -o $@

$(BUILD)/tests/guests/inject.asm.o: $(wildcard tests/guests/inject*.inc)
$(BUILD)/tests/guests/cpu.elf: $(TEST_GUEST_OBJS)
$(BUILD)/tests/guests/fuzz.elf: $(FUZZ_GUEST_OBJS)
$(BUILD)/tests/guests/%.elf: tests/guests/guest.ld
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(LD) -n -nostdlib -static --no-warn-rwx-segments -T tests/guests/guest.ld -o $@.64 $(filter %.o,$^)
	$(Q)$(OBJCOPY) -O elf32-i386 $@.64 $@

-include $(TEST_GUEST_OBJS:.o=.d) $(FUZZ_GUEST_OBJS:.o=.d)
