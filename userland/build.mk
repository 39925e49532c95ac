# Guests. Included by the Makefile, which has put lwIP's sources into third_party/lwip.

GUEST_WARN := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wshadow
GUEST_CFLAGS := -std=gnu11 -O2 -g $(GUEST_WARN) -I. -nostdinc -isystem userland/runtime/include \
	-isystem $(shell $(CC) -print-file-name=include 2>/dev/null) \
	-ffreestanding -fno-pic -fno-pie -mno-red-zone -mno-sse -mgeneral-regs-only -fno-omit-frame-pointer \
	-fno-stack-protector -fno-strict-aliasing -fno-asynchronous-unwind-tables -fcf-protection=none \
	-ffunction-sections -fdata-sections
HELLO_CFLAGS := -m32 $(filter-out -mno-red-zone,$(GUEST_CFLAGS))

GUEST := $(BUILD)/guest
RUNTIME_SRCS := $(wildcard userland/runtime/*.c) kernel/lib/printf.c
RUNTIME_OBJS := $(addprefix $(GUEST)/userland/runtime/,start.asm.o vectors.asm.o) $(RUNTIME_SRCS:%.c=$(GUEST)/%.o)
NET_SRCS := $(wildcard userland/net/*.c userland/lwip/*.c userland/drivers/*.c)
LWIP_SRCS := $(wildcard $(addprefix third_party/lwip/src/,core/*.c core/ipv4/*.c core/ipv6/*.c netif/ethernet.c \
	apps/lwiperf/lwiperf.c))
LWIP_CFLAGS := -isystem third_party/lwip/src/include -Iuserland/lwip
NET_OBJS := $(RUNTIME_OBJS) $(NET_SRCS:%.c=$(GUEST)/%.o) $(GUEST)/userland/net/page.asm.o \
	$(LWIP_SRCS:third_party/lwip/%.c=$(GUEST)/lwip/%.o)
CONTROL_OBJS := $(RUNTIME_OBJS) $(patsubst %.c,$(GUEST)/%.o,$(wildcard userland/control/*.c) userland/drivers/igb_pf.c)
HELLO_OBJS := $(GUEST)/hello/start.asm.o $(GUEST)/hello/hello.o

$(BUILD)/guest-flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(GUEST_CFLAGS)' | cmp -s - $@ || echo '$(CC) $(GUEST_CFLAGS)' >$@

$(GUEST)/%.o: %.c $(BUILD)/guest-flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(GUEST_CFLAGS) $(LWIP_CFLAGS) -MD -MP -c $< -o $@

# Third-party code: its warnings are disabled.
$(GUEST)/lwip/%.o: third_party/lwip/%.c $(BUILD)/guest-flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(filter-out -W%,$(GUEST_CFLAGS)) -w $(LWIP_CFLAGS) -MD -MP -c $< -o $@

$(GUEST)/userland/net/page.asm.o: userland/net/page.html

$(GUEST)/%.asm.o: %.asm $(BUILD)/guest-flags
	@mkdir -p $(@D)
	$(call say,NASM,$<)
	$(Q)$(NASM) -f elf64 -g -F dwarf -I. -MD $(@:.o=.d) -MP -MT $@ $< -o $@

$(GUEST)/hello/%.o: userland/hello/%.c $(BUILD)/guest-flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(HELLO_CFLAGS) -MD -MP -c $< -o $@

$(GUEST)/hello/%.asm.o: userland/hello/%.asm $(BUILD)/guest-flags
	@mkdir -p $(@D)
	$(call say,NASM,$<)
	$(Q)$(NASM) -f elf32 -I. -MD $(@:.o=.d) -MP -MT $@ $< -o $@

$(BUILD)/userland/hello.elf: $(HELLO_OBJS) userland/hello/hello.ld
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(LD) -m elf_i386 -n -nostdlib -static -z noexecstack --no-warn-rwx-segments \
		-T userland/hello/hello.ld -o $@ $(HELLO_OBJS)

$(BUILD)/userland/net.elf: $(NET_OBJS)
$(BUILD)/userland/control.elf: $(CONTROL_OBJS)
$(BUILD)/userland/net.elf $(BUILD)/userland/control.elf: userland/runtime/guest.ld
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(LD) -nostdlib -static -z noexecstack -z max-page-size=4096 --no-warn-rwx-segments --gc-sections \
		-T userland/runtime/guest.ld -o $@ $(filter %.o,$^)

GUESTS += $(BUILD)/userland/hello.elf $(BUILD)/userland/net.elf $(BUILD)/userland/control.elf

-include $(NET_OBJS:.o=.d) $(CONTROL_OBJS:.o=.d) $(HELLO_OBJS:.o=.d)

# Port 8080 of the host is the guest's port 80. The features removed from the CPU model are those that TCG lacks and
# would warn about.
RUN_NATIVE_PORT ?= 8080
TCG_LACKS := -fxsr-opt,-misalignsse,-osvw,-topoext,-perfctr-core,-clzero,-ibpb,-nrip-save,-xsavec,-xsaves
NATIVE_CPU ?= EPYC-v4,+x2apic,$(TCG_LACKS)
run-native: $(BUILD)/userland/net.elf ## run the network guest without Weir (APPEND=: command line, RUN_NATIVE_PORT=)
	@echo "  RUN     http://localhost:$(RUN_NATIVE_PORT)/ is the guest without Weir; Ctrl-A X ends QEMU"
	$(Q)qemu-system-x86_64 -M q35 -accel tcg -cpu $(NATIVE_CPU) -m 256M -display none -serial mon:stdio -no-reboot \
		-kernel $< -append "$(APPEND)" -device e1000e,netdev=n0,addr=3,romfile= \
		-netdev user,id=n0,hostfwd=tcp:127.0.0.1:$(RUN_NATIVE_PORT)-:80

.PHONY: run-native
