# Programs for the initramfs of Linux guests: static, so that they need nothing beside them.

LINUX_PROGRAMS := $(patsubst tests/linux/%.c,$(BUILD)/tests/linux/%,$(wildcard tests/linux/*.c))

$(BUILD)/tests/linux/%: tests/linux/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -static -pthread $< -o $@
