# Weir's build. `make help` lists what it can do. What is built lies in $(BUILD).

BUILD ?= build
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
HOSTCC ?= gcc
NASM ?= nasm
LD ?= ld
OBJCOPY ?= objcopy
PYTHON ?= /usr/bin/python3
GRUB_CFG ?= boot/grub$(if $(filter virtio-ats,$(NIC)),-virtio-ats).cfg
ISO ?= $(BUILD)/weir.iso
Q := $(if $(V),,@)
comma := ,
say = $(if $(V),,@printf '  %-8s%s\n' $(1) $(2))

WARN := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wshadow
CFLAGS := -std=gnu11 -O2 -g $(WARN) -I. \
	-ffreestanding -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone -mgeneral-regs-only \
	-fno-omit-frame-pointer -fno-optimize-sibling-calls -fno-stack-protector -fno-strict-aliasing \
	-fno-asynchronous-unwind-tables -fcf-protection=none \
	-ffunction-sections -fdata-sections $(if $(DEBUG),-DWEIR_DEBUG)
LDFLAGS := -n -nostdlib -static -z max-page-size=4096 --no-warn-rwx-segments --gc-sections -T linker.ld

# The hypervisor's directories; tools/layers says which may use which.
WEIR_DIRS := boot kernel iommu drivers
C_SRCS := $(sort $(shell find $(WEIR_DIRS) -name '*.c'))
ASM_SRCS := $(sort $(shell find $(WEIR_DIRS) -name '*.asm'))
OBJS := $(C_SRCS:%.c=$(BUILD)/%.o) $(ASM_SRCS:%.asm=$(BUILD)/%.asm.o)
# Guests that go into the ISO; userland/build.mk adds its own.
GUESTS :=

export CPU IOMMU LWIP MEM NIC PORT QEMU QEMU_ARGS SERIAL SMP

.PHONY: all bench bench-host bench-iommu bench-linux check check-long clean coverage debug-image deps format fuzz help iso lint model mutants run run-linux soak system unit FORCE
.DELETE_ON_ERROR:

all: $(BUILD)/weir.elf ## build the hypervisor and the guests (CC=clang: with clang; DEBUG=1: with checks; V=1: show the commands)

# lwIP's sources must be there before the list of its files can be made: make builds this file first, and starts again.
# LWIP=DIR takes a source tree of yours.
ifneq ($(filter all iso run-native system $(BUILD)/%,$(or $(MAKECMDGOALS),all)),)
$(if $(LWIP),$(shell tools/fetch-lwip >&2))
include third_party/fetched.mk
endif
# What the tests of Linux guests boot.
third_party/linux/fetched: tools/fetch-linux
	$(Q)rm -f $@
	$(Q)tools/fetch-linux

third_party/fetched.mk: tools/fetch-lwip
	$(Q)tools/fetch-lwip
	@touch $@

include $(wildcard userland/build.mk tests/guests/build.mk tests/linux/build.mk)

%.d: ;

all: $(GUESTS)

help: ## this list
	@sed -n 's/^\([a-z_.-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

# --- The hypervisor ---

# Objects depend on this file, which changes when the compiler or its options do.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CFLAGS) $(NASM) $(LD) $(LDFLAGS)' | cmp -s - $@ || echo '$(CC) $(CFLAGS) $(NASM) $(LD) $(LDFLAGS)' >$@

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/%.asm.o: %.asm $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,NASM,$<)
	$(Q)$(NASM) -f elf64 -g -F dwarf -I. -MD $(@:.o=.d) -MP -MT $@ $< -o $@

# Linked twice: the symbol table of the first link goes into the second. It lies behind the code, and moves none of it.
$(BUILD)/weir.elf: $(OBJS) linker.ld tools/ksyms
	$(call say,LD,$@)
	$(Q)$(LD) $(LDFLAGS) -o $(BUILD)/first.elf $(OBJS)
	$(Q)tools/ksyms $(BUILD)/first.elf >$(BUILD)/ksyms.asm
	$(Q)$(NASM) -f elf64 $(BUILD)/ksyms.asm -o $(BUILD)/ksyms.o
	$(Q)$(LD) $(LDFLAGS) -o $@ $(OBJS) $(BUILD)/ksyms.o
	$(Q)tools/ksyms $@ | cmp - $(BUILD)/ksyms.asm || { rm -f $@; echo "$@: the second link moved code" >&2; exit 1; }

$(BUILD)/weir-stripped.elf: $(BUILD)/weir.elf
	$(Q)$(OBJCOPY) -S $< $@

-include $(OBJS:.o=.d) $(BUILD)/bench/iommu.d

compile_commands.json: FORCE ## for editors and clang-tidy
	$(call say,GEN,$@)
	@{ s='['; for f in $(C_SRCS); do \
		printf '%s\n{ "directory": "%s", "file": "%s", "command": "%s" }' "$$s" '$(CURDIR)' $$f '$(CC) $(CFLAGS) -c '$$f; s=,; \
	done; printf '\n]\n'; } >$@

# --- The ISO ---

iso: $(BUILD)/weir-stripped.elf $(GUESTS) ## build/weir.iso, booted by GRUB (GRUB_CFG=FILE: other menu; ISO=FILE: other place)
	$(call say,ISO,$(ISO))
	$(Q)mkdir -p $(BUILD)/boot && cp $< $(BUILD)/boot/weir.elf
	$(Q)tools/mkiso $(ISO) $(GRUB_CFG) $(BUILD)/boot/weir.elf $(GUESTS)

run: deps ## build, then start it in QEMU; the network guest answers at http://localhost:8080/ (SMP=, MEM=, NIC=, QEMU_ARGS=)
	$(Q)$(MAKE) --no-print-directory iso
	@echo "  RUN     http://localhost:$(or $(PORT),8080)/ is the network guest; Ctrl-A X ends QEMU"
	$(Q)tools/qemu $(ISO)

run-linux: deps ## Debian's kernel as a guest that owns a NIC; `console linux` opens its shell
	$(Q)$(MAKE) --no-print-directory third_party/linux/fetched $(BUILD)/weir-stripped.elf $(BUILD)/userland/control.elf
	$(Q)mkdir -p $(BUILD)/boot && cp $(BUILD)/weir-stripped.elf $(BUILD)/boot/weir.elf
	$(Q)tools/mkinitrd $(BUILD)/boot/initrd boot/linux-init third_party/linux/*.ko
	$(Q)tools/mkiso $(BUILD)/linux.iso boot/grub-linux.cfg $(BUILD)/boot/weir.elf $(BUILD)/userland/control.elf third_party/linux/vmlinuz $(BUILD)/boot/initrd
	@echo "  RUN     Linux unpacks itself: a minute of silence; Ctrl-A X ends QEMU"
	$(Q)tools/qemu $(BUILD)/linux.iso

deps: ## install with apt what is missing
	$(Q)tools/deps


# The image's own objects, with bench/iommu.c in the place of the domains.
$(BUILD)/bench/weir.elf: $(OBJS) $(BUILD)/bench/iommu.o $(BUILD)/weir.elf
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(LD) $(LDFLAGS) --wrap=build_domains -o $@ $(OBJS) $(BUILD)/bench/iommu.o $(BUILD)/ksyms.o

bench-iommu: $(BUILD)/bench/weir.elf ## instruction counts of the IOMMU core
	$(Q)BUILD=$(BUILD) $(PYTHON) bench/iommu.py

BENCH_HOST_SRCS := bench/host.c $(wildcard iommu/*.c) kernel/mm/frame.c kernel/mm/alloc.c kernel/mm/slab.c kernel/lib/rangeset.c
$(BUILD)/bench/host: $(BENCH_HOST_SRCS) $(wildcard iommu/*.h kernel/*/*.h) Makefile
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(HOSTCC) -std=gnu11 -O2 -Wall -Wextra -Werror -DWEIR_HOST -I. $(BENCH_HOST_SRCS) -o $@ -lpthread

bench-host: $(BUILD)/bench/host ## nanoseconds of the IOMMU core on this machine, by one thread and by two
	$(Q)$<

bench-linux: iso third_party/linux/fetched ## Linux natively and in Weir: boot, TCP, requests, exits; two of them side by side (ROUNDS=, MB=)
	$(Q)BUILD=$(BUILD) $(PYTHON) bench/linux.py
	$(Q)BUILD=$(BUILD) $(PYTHON) bench/neighbours.py

bench: deps ## instruction counts; nanoseconds on the host; the network guest natively and in Weir: throughput, requests, exits (ROUNDS=, MB=)
	$(Q)$(MAKE) --no-print-directory bench-iommu bench-host
	$(Q)$(MAKE) --no-print-directory iso
	$(Q)$(PYTHON) bench/network.py
	$(Q)$(MAKE) --no-print-directory bench-linux

# --- Unit tests: tests/unit/test_*.c, each with a line "sources:", and "libs:" where it needs some ---

UNIT_SRCS := $(wildcard tests/unit/test_*.c)
# The IOMMU core as it is tested on the host, with a machine around it.
MODEL_SRCS := $(addprefix tests/model/,cache.c machine.c queue.c registers.c remap.c walk.c work.c)
IOMMU_SRCS := $(wildcard iommu/*.c) kernel/mm/frame.c kernel/mm/alloc.c kernel/mm/slab.c kernel/lib/rangeset.c $(MODEL_SRCS)
IOMMU_LIBS := -Wl,--wrap=free_page
# For tests that include tests/unit/failures.h.
FAILURE_LIBS := $(addprefix -Wl$(comma)--wrap=,alloc_page alloc_frames kzalloc irq_alloc mmio_map frame_set hw_write32 irq_wait hw_write_back)
UNIT_BINS := $(UNIT_SRCS:tests/unit/%.c=$(BUILD)/tests/%)
UNIT_CFLAGS := -std=gnu11 -O1 -g -Wall -Wextra -Werror -DWEIR_HOST -DWEIR_DEBUG -I. -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer

# What every unit test and fuzz target is linked with.
HOST_SRCS := tests/unit/host.c kernel/core/lockorder.c

# COVERAGE=1 counts what is run: see tools/coverage.
COVERAGE_FLAGS := $(if $(COVERAGE),--coverage -O0)

$(BUILD)/unit/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,TEST,$<)
	$(Q)$(HOSTCC) $(UNIT_CFLAGS) $(COVERAGE_FLAGS) -MMD -MP -c $< -o $@

# $(1): a test's name, $(2): its sources, $(3): its libraries.
define UNIT_RULE
$(BUILD)/tests/$(1): $$(patsubst %.c,$(BUILD)/unit/%.o,tests/unit/$(1).c $(HOST_SRCS) $(2))
	@mkdir -p $$(@D)
	$$(Q)$$(HOSTCC) $$(UNIT_CFLAGS) $$(COVERAGE_FLAGS) $$^ -o $$@ $(3) -lcmocka -lpthread
-include $$(patsubst %.c,$(BUILD)/unit/%.d,tests/unit/$(1).c $(HOST_SRCS) $(2))
endef
in_comment = $(shell sed -n 's|.*$(2): *\([^*]*\).*|\1|p' tests/unit/$(1).c)
$(foreach t,$(UNIT_SRCS:tests/unit/%.c=%),$(eval $(call UNIT_RULE,$(t),$(call in_comment,$(t),sources),$(call in_comment,$(t),libs))))

# --- The model: random programs over the IOMMU core. The code under test calls tests/model/interleave.c at each access. ---

MODEL_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -DWEIR_HOST -DWEIR_DEBUG -I. $(if $(COVERAGE),--coverage -O0)
UNDER_TEST := $(wildcard iommu/*.c) kernel/mm/frame.c
MODEL_ALL := $(UNDER_TEST) kernel/core/lockorder.c kernel/mm/alloc.c kernel/mm/slab.c kernel/lib/rangeset.c $(MODEL_SRCS) $(addprefix tests/model/,record.c judge.c \
	interleave.c hardware.c actions.c irtes.c program.c configs.c)
MODEL_OBJS := $(patsubst %.c,$(BUILD)/model/%.o,$(MODEL_ALL) tests/model/model.c)
$(UNDER_TEST:%.c=$(BUILD)/model/%.o): MODEL_CFLAGS += -fsanitize=thread -Wno-tsan

$(BUILD)/model/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,TEST,$<)
	$(Q)$(HOSTCC) $(MODEL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/tests/model: $(MODEL_OBJS)
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) $(if $(COVERAGE),--coverage) $^ $(IOMMU_LIBS) -lpthread -o $@
-include $(MODEL_OBJS:.o=.d)

# The same files with real threads, and the real ThreadSanitizer.
THREADS_OBJS := $(patsubst %.c,$(BUILD)/threads/%.o,$(IOMMU_SRCS) kernel/core/lockorder.c tests/model/threads.c)
$(BUILD)/threads/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,TSAN,$<)
	$(Q)$(HOSTCC) $(MODEL_CFLAGS) -fsanitize=thread -Wno-tsan -MMD -MP -c $< -o $@
$(BUILD)/tests/threads: $(THREADS_OBJS)
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) -fsanitize=thread $^ $(IOMMU_LIBS) -lpthread -o $@
-include $(THREADS_OBJS:.o=.d)

MODEL_STEPS := $(or $(STEPS),1000000)
model: $(BUILD)/tests/model $(BUILD)/tests/threads ## random programs against the IOMMU core on all kinds of hardware (SEED=, STEPS=)
	$(Q)$(BUILD)/tests/model $(if $(SEED),--seed $(SEED)) --steps $(MODEL_STEPS)
	$(Q)$(BUILD)/tests/threads $(if $(SEED),--seed $(SEED)) --steps $$(($(MODEL_STEPS) / 20))

coverage: ## lines of iommu/ and the frame table that unit tests and model run; the others are listed
	$(Q)BUILD=$(BUILD) tools/coverage

# The benchmark is built, so that it does not fall behind what it links to.
unit: $(UNIT_BINS) $(BUILD)/bench/host ## unit tests on the host
	$(Q)bad=0; for t in $(UNIT_BINS); do echo "== $$t"; $$t || bad=1; done; exit $$bad

# --- Fuzzing: tests/fuzz/fuzz_*.c by libFuzzer, which is clang's; each with a line "sources:", "libs:" and "flags:" where
# it needs some ---

FUZZ_CC ?= clang
FUZZ_TARGETS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_BINS := $(FUZZ_TARGETS:%=$(BUILD)/fuzz/fuzz_%)
FUZZ_CFLAGS := $(filter-out -fsanitize=%,$(UNIT_CFLAGS)) -fsanitize=fuzzer,address,undefined

# $(1): a target's name, $(2): its sources, $(3): its libraries, $(4): its options for the compiler.
define FUZZ_RULE
$(BUILD)/fuzz/fuzz_$(1): tests/fuzz/fuzz_$(1).c $(HOST_SRCS) $(2) Makefile
	@mkdir -p $$(@D)
	$$(call say,FUZZ,$(1))
	$$(Q)$$(FUZZ_CC) $$(FUZZ_CFLAGS) -MM -MP -MT $$@ $$(filter %.c,$$^) >$$@.d
	$$(Q)$$(FUZZ_CC) $$(FUZZ_CFLAGS) $(4) $$(filter %.c,$$^) -o $$@ $(3) -lcmocka

fuzz-$(1): $(BUILD)/fuzz/fuzz_$(1)
	$$(Q)BUILD=$(BUILD) tests/fuzz/run $(1) $$(or $$(SECONDS),5)
endef
of_target = $(shell sed -n 's|.*$(2): *\([^*]*\).*|\1|p' tests/fuzz/fuzz_$(1).c)
$(foreach t,$(filter-out model,$(FUZZ_TARGETS)),$(eval $(call FUZZ_RULE,$(t),$(call of_target,$(t),sources),$(call of_target,$(t),libs),$(call of_target,$(t),flags))))
-include $(FUZZ_BINS:%=%.d)

# The model's program, from objects of its own: the code under test calls interleave.c, so there is no AddressSanitizer.
FUZZ_MODEL_OBJS := $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(MODEL_ALL) tests/fuzz/fuzz_model.c)
FUZZ_MODEL_CFLAGS := $(filter-out -fsanitize=%,$(UNIT_CFLAGS)) -fsanitize=fuzzer-no-link
$(UNDER_TEST:%.c=$(BUILD)/fuzz/obj/%.o): FUZZ_MODEL_CFLAGS += -fsanitize=thread
$(BUILD)/fuzz/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_MODEL_CFLAGS) -MMD -MP -c $< -o $@
$(BUILD)/fuzz/fuzz_model: $(FUZZ_MODEL_OBJS)
	$(call say,FUZZ,model)
	$(Q)$(FUZZ_CC) -fsanitize=fuzzer $^ -o $@ $(IOMMU_LIBS) -lpthread
fuzz-model: $(BUILD)/fuzz/fuzz_model
	$(Q)BUILD=$(BUILD) tests/fuzz/run model $(or $(SECONDS),5)
-include $(FUZZ_MODEL_OBJS:.o=.d)

fuzz: ## fuzz one target: T=NAME, for SECONDS=60; all of them for 5 s each without T= (names: tests/fuzz/fuzz_NAME.c)
ifneq ($(T),)
	$(Q)$(MAKE) --no-print-directory fuzz-$(T) SECONDS=$(or $(SECONDS),60)
else
fuzz: $(FUZZ_TARGETS:%=fuzz-%)
endif

# With checks, and allocations that fail on demand.
debug-image: FORCE
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/debug DEBUG=1 $(BUILD)/debug/weir-stripped.elf
	$(Q)mkdir -p $(BUILD)/debug/boot && cp $(BUILD)/debug/weir-stripped.elf $(BUILD)/debug/boot/weir.elf

# MARK: those that are marked so, see tests/system/conftest.py.
system: $(BUILD)/weir-stripped.elf debug-image $(GUESTS) $(TEST_GUESTS) $(LINUX_PROGRAMS) third_party/linux/fetched ## tests that boot Weir under QEMU (K=EXPRESSION: only those; logs in build/tests/system)
	$(Q)mkdir -p $(BUILD)/boot && cp $< $(BUILD)/boot/weir.elf
	$(Q)BUILD=$(BUILD) $(PYTHON) -m pytest -q -p no:cacheprovider $(if $(MARK),-m '$(MARK)') $(if $(K),-k '$(K)') $(PYTEST_ARGS) tests/system

soak: ## random guests beside bystanders, for T=MINUTES (10) with seeds that are shown; SEED=N: that one again
	$(Q)SOAK=$(or $(T),10) $(if $(SEED),SEED=$(SEED)) $(MAKE) --no-print-directory system K=test_soak PYTEST_ARGS=-s

mutants: ## plant bugs into copies of the IOMMU core: unit tests and model must see each (M=NAME: only this one)
	$(Q)BUILD=$(BUILD) FAILURE_LIBS='$(FAILURE_LIBS)' $(PYTHON) tests/model/mutants/run $(M)

check-long: deps ## the system tests that `make check` leaves out: Linux guests at length (K=EXPRESSION: only those)
	$(Q)$(MAKE) --no-print-directory system MARK=long

check: ## all that proves Weir: gcc, clang, lint, unit, model and system tests; ends in the sum
	$(Q)MAKE='$(MAKE)' BUILD=$(BUILD) tools/check

lint: ## layout, headers that stand alone, cppcheck
	$(Q)CC='$(CC)' tools/lint

format: ## bring the sources into the layout of .clang-format
	$(Q)clang-format-19 -i $$(git ls-files '*.c' '*.h')

clean: ## remove what was built
	rm -rf $(BUILD) compile_commands.json
