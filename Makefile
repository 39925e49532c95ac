# Weir's build. `make help` lists the targets. All build products are in $(BUILD).

# --- settings -----------------------------------------------------------------

BUILD ?= build
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
HOSTCC ?= gcc
FUZZ_CC ?= clang
NASM ?= nasm
LD ?= ld
OBJCOPY ?= objcopy
PYTHON ?= /usr/bin/python3
ISO ?= $(BUILD)/weir.iso
# NIC=virtio-ats needs its own menu: the NIC has another address there.
GRUB_CFG ?= boot/grub$(if $(filter virtio-ats,$(NIC)),-virtio-ats).cfg
# Read by tools/qemu; LWIP by tools/fetch-lwip; BOCHS (none) by the tests; WEIR_CACHE by tools/build-bochs.
export BOCHS CPU IOMMU LWIP MEM NIC PORT QEMU QEMU_ARGS SERIAL SMP WEIR_CACHE

# V=1 shows full commands instead of one short line each.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s%s\n' $(1) $(2))
submake := $(MAKE) --no-print-directory
comma := ,

.DELETE_ON_ERROR:
.PHONY: all bench bench-deferral bench-exits bench-host bench-iommu bench-irqoff bench-linux check check-long \
	check-quick clean coverage debug-image deps format fuzz help iso lint model mutants run run-linux soak system \
	unit FORCE

all: $(BUILD)/weir.elf ## build the hypervisor and the guests (CC=clang; DEBUG=1: with checks; V=1: show commands)

help: ## list the targets
	@sed -n 's/^\([a-z_.-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

deps: ## install missing packages with apt
	$(Q)tools/deps

# --- the hypervisor -----------------------------------------------------------

WARN := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wshadow
CFLAGS := -std=gnu11 -O2 -g $(WARN) -I. \
	-ffreestanding -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone -mgeneral-regs-only \
	-fno-omit-frame-pointer -fno-optimize-sibling-calls -fno-stack-protector -fno-strict-aliasing \
	-fno-asynchronous-unwind-tables -fcf-protection=none \
	-ffunction-sections -fdata-sections $(if $(DEBUG),-DWEIR_DEBUG)
# Without vector registers nothing on the stack needs 16 bytes. Each compiler has its own name for that.
STACK_8 := $(if $(findstring clang,$(CC)),-mstack-alignment=8,-mpreferred-stack-boundary=3)
LDFLAGS := -n -nostdlib -static -z max-page-size=4096 --no-warn-rwx-segments --gc-sections -T linker.ld

# tools/layers says which of these directories may use which.
WEIR_DIRS := boot kernel iommu drivers
C_SRCS := $(sort $(shell find $(WEIR_DIRS) -name '*.c'))
ASM_SRCS := $(sort $(shell find $(WEIR_DIRS) -name '*.asm'))
OBJS := $(C_SRCS:%.c=$(BUILD)/%.o) $(ASM_SRCS:%.asm=$(BUILD)/%.asm.o)

# Objects depend on this file, which changes when the compiler or its options change.
BUILT_WITH := $(CC) $(CFLAGS) $(STACK_8) $(NASM) $(LD) $(LDFLAGS)
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(BUILT_WITH)' | cmp -s - $@ || echo '$(BUILT_WITH)' >$@

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS) $(STACK_8) -MMD -MP -c $< -o $@

$(BUILD)/%.asm.o: %.asm $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,NASM,$<)
	$(Q)$(NASM) -f elf64 -g -F dwarf -I. -MD $(@:.o=.d) -MP -MT $@ $< -o $@

# Linked twice: the second link adds the symbol table of the first. The table follows the code, so no code moves.
$(BUILD)/weir.elf: $(OBJS) linker.ld tools/ksyms
	$(call say,LD,$@)
	$(Q)$(LD) $(LDFLAGS) -o $(BUILD)/first.elf $(OBJS)
	$(Q)tools/ksyms $(BUILD)/first.elf >$(BUILD)/ksyms.asm
	$(Q)$(NASM) -f elf64 $(BUILD)/ksyms.asm -o $(BUILD)/ksyms.o
	$(Q)$(LD) $(LDFLAGS) -o $@ $(OBJS) $(BUILD)/ksyms.o
	$(Q)tools/ksyms $@ | cmp - $(BUILD)/ksyms.asm || \
		{ rm -f $@; echo "$@: the second link moved code" >&2; exit 1; }

$(BUILD)/weir-stripped.elf: $(BUILD)/weir.elf
	$(Q)$(OBJCOPY) -S $< $@

# The image under the name that it has in an ISO.
$(BUILD)/boot/weir.elf: $(BUILD)/weir-stripped.elf
	$(Q)mkdir -p $(@D)
	$(Q)cp $< $@

# An image with checks, in which allocations fail on demand.
debug-image: FORCE
	$(Q)$(submake) BUILD=$(BUILD)/debug DEBUG=1 $(BUILD)/debug/boot/weir.elf

-include $(OBJS:.o=.d)
# Missing dependency files are not an error: they are created with their objects.
%.d: ;

compile_commands.json: FORCE ## for editors and clang-tidy
	$(call say,GEN,$@)
	@{ s='['; for f in $(C_SRCS); do \
		printf '%s\n{ "directory": "%s", "file": "%s", ' "$$s" '$(CURDIR)' $$f; \
		printf '"command": "%s" }' '$(CC) $(CFLAGS) -c '$$f; s=,; \
	done; printf '\n]\n'; } >$@

# --- guests -------------------------------------------------------------------

# lwIP's sources must exist before make can list them: make builds this file first and then restarts. LWIP=DIR uses
# another source tree.
ifneq ($(filter all bench-deferral bench-exits bench-irqoff iso mutants run-native system $(BUILD)/%, \
	$(or $(MAKECMDGOALS),all)),)
$(if $(LWIP),$(shell tools/fetch-lwip >&2))
include third_party/fetched.mk
endif
third_party/fetched.mk: tools/fetch-lwip
	$(Q)tools/fetch-lwip
	@touch $@

# Debian's kernel and busybox, which run as Linux guests.
third_party/linux/fetched: tools/fetch-linux
	$(Q)rm -f $@
	$(Q)tools/fetch-linux

# These add to GUESTS (programs for the ISO) and set TEST_GUESTS and LINUX_PROGRAMS. A copy of the hypervisor alone
# (tests/system/mutant.py) has none of these files.
GUESTS :=
include $(wildcard userland/build.mk tests/guests/build.mk tests/linux/build.mk)
all: $(GUESTS)

# --- running ------------------------------------------------------------------

# A target with `deps` builds its other prerequisites with a second make, so that `deps` is finished first.

iso: $(BUILD)/boot/weir.elf $(GUESTS) ## build/weir.iso, which GRUB boots (GRUB_CFG=FILE: its menu; ISO=FILE: its name)
	$(call say,ISO,$(ISO))
	$(Q)tools/mkiso $(ISO) $(GRUB_CFG) $^

run: deps ## build, then start Weir and the network guest in QEMU (SMP=, MEM=, NIC=, PORT=, QEMU_ARGS=)
	$(Q)$(submake) iso
	@echo "  RUN     http://localhost:$(or $(PORT),8080)/ is the network guest; Ctrl-A X ends QEMU"
	$(Q)tools/qemu $(ISO)

LINUX_FILES := $(BUILD)/boot/weir.elf $(BUILD)/userland/control.elf third_party/linux/vmlinuz $(BUILD)/boot/initrd
run-linux: deps ## run Debian's kernel as a guest that owns a NIC; `console linux` opens its shell
	$(Q)$(submake) third_party/linux/fetched $(BUILD)/boot/weir.elf $(BUILD)/userland/control.elf
	$(Q)tools/mkinitrd $(BUILD)/boot/initrd boot/linux-init third_party/linux/*.ko
	$(Q)tools/mkiso $(BUILD)/linux.iso boot/grub-linux.cfg $(LINUX_FILES)
	@echo "  RUN     Linux prints nothing for about a minute while it unpacks itself; Ctrl-A X ends QEMU"
	$(Q)tools/qemu $(BUILD)/linux.iso

# --- unit tests ---------------------------------------------------------------

# The first comment of each tests/unit/test_*.c lists the files that it tests ("sources:") and the libraries that it
# needs ("libs:"). A list ends with its line; another line with the same word continues it.
# $(call field,FILE,WORD): the list.
field = $(shell sed -n 's|.*$(2): *\([^*]*\).*|\1|p' $(1))

UNIT_SRCS := $(wildcard tests/unit/test_*.c)
# The frame table.
FRAME_SRCS := kernel/mm/frame.c kernel/mm/frameref.c
# The virtual PCI bus, and the balloon with its transport.
VPCI_SRCS := $(wildcard kernel/guest/devices/pci/*.c) drivers/pcipresence.c \
	kernel/guest/emulate/bus.c kernel/guest/vcpu/cpuidcommon.c kernel/guest/vcpu/vlapicdestination.c \
	kernel/lib/pci_id.c
BALLOON_SRCS := $(wildcard kernel/guest/devices/virtio/*.c) kernel/guest/devices/pci/msixregs.c \
	kernel/guest/emulate/bus.c
UNIT_BINS := $(UNIT_SRCS:tests/unit/%.c=$(BUILD)/tests/%)
UNIT_CFLAGS := -std=gnu11 -O1 -g -Wall -Wextra -Werror -DWEIR_HOST -DWEIR_DEBUG -I. -fsanitize=address,undefined \
	-fno-sanitize-recover=all -fno-omit-frame-pointer
# For tests that include tests/unit/failures.h.
FAILURE_LIBS := $(addprefix -Wl$(comma)--wrap=,alloc_page alloc_frames alloc_untyped kzalloc irq_alloc mmio_map \
	frame_set hw_write32 irq_wait hw_write_back)
# Every unit test and fuzz target is linked with these.
HOST_SRCS := tests/unit/host.c kernel/core/lockorder.c

# The IOMMU core: the code that the model and `make coverage` test, and what it needs to run on the host.
IOMMU_CORE := $(filter iommu/%,$(C_SRCS)) $(FRAME_SRCS)
IOMMU_NEEDS := kernel/mm/alloc.c kernel/mm/slab.c kernel/lib/pci_id.c kernel/lib/rangeset.c
# The simulated machine around it.
IOMMU_MACHINE := $(addprefix tests/model/,cache.c machine.c queue.c registers.c remap.c walk.c work.c)
IOMMU_SRCS := $(IOMMU_CORE) $(IOMMU_NEEDS) $(IOMMU_MACHINE)
IOMMU_LIBS := -Wl,--wrap=free_page
# The code for a domain's memory, without the pool and the shoot-down; the virtual APIC.
MEMORY_SRCS := $(addprefix kernel/guest/memory/,blocks.c clear.c devicemap.c guestcopy.c memory.c memrelease.c \
	nested.c populate.c)
VLAPIC_SRCS := $(addprefix kernel/guest/vcpu/,extint.c vlapic.c vlapicdestination.c vlapicipi.c \
	vlapicpending.c vlapictimer.c)

# COVERAGE=1 counts how often each line runs: see tools/coverage.
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
unit_rule = $(call UNIT_RULE,$(1),$(call field,tests/unit/$(1).c,sources),$(call field,tests/unit/$(1).c,libs))
$(foreach t,$(UNIT_SRCS:tests/unit/%.c=%),$(eval $(call unit_rule,$(t))))

# The second test machine, with tests of its own.
-include tests/bochs/build.mk

# The benchmark is built too, so that it stays in step with the code that it measures.
unit: $(UNIT_BINS) $(BOCHS_UNIT_BINS) $(BUILD)/bench/host ## run the unit tests on the host
	$(Q)bad=0; for t in $(UNIT_BINS) $(BOCHS_UNIT_BINS); do echo "== $$t"; $$t || bad=1; done; exit $$bad

# --- the model ----------------------------------------------------------------

# Random programs over the IOMMU core. The core is compiled for ThreadSanitizer, but tests/model/interleave.c replaces
# the runtime library: the core calls it at each memory access.
MODEL_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -DWEIR_HOST -DWEIR_DEBUG -I. $(COVERAGE_FLAGS)
MODEL_ALL := $(sort kernel/core/lockorder.c $(IOMMU_SRCS) \
	$(filter-out tests/model/model.c tests/model/threads.c,$(wildcard tests/model/*.c)))
MODEL_OBJS := $(patsubst %.c,$(BUILD)/model/%.o,$(MODEL_ALL) tests/model/model.c)
$(IOMMU_CORE:%.c=$(BUILD)/model/%.o): MODEL_CFLAGS += -fsanitize=thread -Wno-tsan

$(BUILD)/model/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,TEST,$<)
	$(Q)$(HOSTCC) $(MODEL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/tests/model: $(MODEL_OBJS)
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) $(if $(COVERAGE),--coverage) $^ $(IOMMU_LIBS) -lpthread -o $@
-include $(MODEL_OBJS:.o=.d)

# The same core with real threads and the real ThreadSanitizer.
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
model: ## run random programs on the IOMMU core and all kinds of units (SEED=, STEPS=)
model: $(BUILD)/tests/model $(BUILD)/tests/threads
	$(Q)$(BUILD)/tests/model $(if $(SEED),--seed $(SEED)) --steps $(MODEL_STEPS)
	$(Q)$(BUILD)/tests/threads $(if $(SEED),--seed $(SEED)) --steps $$(($(MODEL_STEPS) / 20))

# The tests of a domain's memory that look for planted bugs. $(call beside_core,TEST): their sources and libraries,
# beside the core's, for the environment.
MEMORY_TESTS := test_large test_memory test_pool test_shootdown
beside_core = $(eval list := $(call field,tests/unit/$(1).c,sources))$(1)='$(filter-out $(IOMMU_SRCS),$(list))' \
	$(eval list := $(call field,tests/unit/$(1).c,libs))$(1)_libs='$(filter-out $(IOMMU_LIBS),$(list))'
# Whole images with planted bugs (tests/system/images.py) need the second machine and guests; bugs of the core do not.
PLANTED_NEEDS = $(if $(filter none,$(BOCHS))$(shell grep -s '^$(or $(M),-):' tests/model/mutants/list),,bochs \
	$(BUILD)/boot/weir.elf $(GUESTS) $(TEST_GUESTS))
mutants: ## plant bugs into copies of the IOMMU core and into images; the tests must detect each (M=NAME: only this)
mutants: $(if $(filter mutants,$(MAKECMDGOALS)),$(PLANTED_NEEDS))
	$(Q)BUILD=$(BUILD) FAILURE_LIBS='$(FAILURE_LIBS)' MEMORY_TESTS='$(MEMORY_TESTS)' \
		$(foreach t,$(MEMORY_TESTS),$(call beside_core,$(t))) $(PYTHON) tests/model/mutants/run $(M)

coverage: ## report the lines of the IOMMU core that unit tests and model run, and list the others
	$(Q)BUILD=$(BUILD) tools/coverage

# --- fuzzing ------------------------------------------------------------------

# libFuzzer, which comes with clang. A comment in each tests/fuzz/fuzz_*.c lists its "sources:", "libs:" and "flags:".
FUZZ_TARGETS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_BINS := $(FUZZ_TARGETS:%=$(BUILD)/fuzz/fuzz_%)
FUZZ_CFLAGS := $(filter-out -fsanitize=%,$(UNIT_CFLAGS)) -fsanitize=fuzzer,address,undefined

# $(1): a target's name, $(2): its sources, $(3): its libraries, $(4): its compiler options.
define FUZZ_RULE
$(BUILD)/fuzz/fuzz_$(1): tests/fuzz/fuzz_$(1).c $(HOST_SRCS) $(2) Makefile
	@mkdir -p $$(@D)
	$$(call say,FUZZ,$(1))
	$$(Q)$$(FUZZ_CC) $$(FUZZ_CFLAGS) -MM -MP -MT $$@ $$(filter %.c,$$^) >$$@.d
	$$(Q)$$(FUZZ_CC) $$(FUZZ_CFLAGS) $(4) $$(filter %.c,$$^) -o $$@ $(3) -lcmocka

fuzz-$(1): $(BUILD)/fuzz/fuzz_$(1)
	$$(Q)BUILD=$(BUILD) tests/fuzz/run $(1) $$(or $$(SECONDS),5)
endef
fuzz_field = $(call field,tests/fuzz/fuzz_$(1).c,$(2))
fuzz_rule = $(call FUZZ_RULE,$(1),$(call fuzz_field,$(1),sources),$(call fuzz_field,$(1),libs), \
	$(call fuzz_field,$(1),flags))
$(foreach t,$(filter-out model,$(FUZZ_TARGETS)),$(eval $(call fuzz_rule,$(t))))
-include $(FUZZ_BINS:%=%.d)

# The model has its own objects. Its core calls interleave.c, so it has no AddressSanitizer.
FUZZ_MODEL_OBJS := $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(MODEL_ALL) tests/fuzz/fuzz_model.c)
FUZZ_MODEL_CFLAGS := $(filter-out -fsanitize=%,$(UNIT_CFLAGS)) -fsanitize=fuzzer-no-link
$(IOMMU_CORE:%.c=$(BUILD)/fuzz/obj/%.o): FUZZ_MODEL_CFLAGS += -fsanitize=thread
$(BUILD)/fuzz/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_MODEL_CFLAGS) -MMD -MP -c $< -o $@
$(BUILD)/fuzz/fuzz_model: $(FUZZ_MODEL_OBJS)
	$(call say,FUZZ,model)
	$(Q)$(FUZZ_CC) -fsanitize=fuzzer $^ -o $@ $(IOMMU_LIBS) -lpthread
fuzz-model: $(BUILD)/fuzz/fuzz_model
	$(Q)BUILD=$(BUILD) tests/fuzz/run model $(or $(SECONDS),5)
-include $(FUZZ_MODEL_OBJS:.o=.d)

fuzz-build: $(FUZZ_BINS) $(BUILD)/fuzz/fuzz_model ## link the fuzz targets

fuzz: ## fuzz T=NAME (tests/fuzz/fuzz_NAME.c) for SECONDS=60; without T=, every target for 5 s
ifneq ($(T),)
	$(Q)$(submake) fuzz-$(T) SECONDS=$(or $(SECONDS),60)
else
fuzz: $(FUZZ_TARGETS:%=fuzz-%)
endif

# --- system tests -------------------------------------------------------------

# At most as many machines run side by side. Each waits until the host has room for its CPUs (tests/system/cpus.py).
MACHINES ?= $(shell nproc)
system: ## boot Weir under QEMU and test it (K=EXPRESSION, MARK=MARK: only these; logs: build/tests/system)
system: $(BUILD)/boot/weir.elf debug-image $(GUESTS) $(TEST_GUESTS) $(LINUX_PROGRAMS) third_party/linux/fetched
system: bochs-try
	$(Q)BUILD=$(BUILD) $(PYTHON) -m pytest -q -p no:cacheprovider \
		$(if $(filter-out 0 1,$(MACHINES)),-n $(MACHINES)) $(if $(MARK),-m '$(MARK)') $(if $(K),-k '$(K)') \
		$(PYTEST_ARGS) tests/system

soak: ## run random guests beside bystanders for T=MINUTES (10), printing its seeds (SEED=N: repeat that run)
	$(Q)SOAK=$(or $(T),10) $(if $(SEED),SEED=$(SEED)) $(submake) system K=test_soak PYTEST_ARGS=-s

# --- benchmarks ---------------------------------------------------------------

bench: deps ## run all benchmarks, and the network guest natively and in Weir (ROUNDS=, MB=)
	$(Q)$(submake) bench-iommu bench-host
	$(Q)$(submake) bench-exits bench-irqoff bench-deferral iso
	$(Q)$(PYTHON) bench/network.py
	$(Q)$(submake) bench-linux

bench-iommu: $(BUILD)/bench/weir.elf ## count the instructions of the IOMMU core's operations
	$(Q)BUILD=$(BUILD) $(PYTHON) bench/iommu.py

# The image's own objects; bench/iommu.c runs instead of the domains.
$(BUILD)/bench/weir.elf: $(OBJS) $(BUILD)/bench/iommu.o $(BUILD)/weir.elf
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(LD) $(LDFLAGS) --wrap=build_domains -o $@ $(OBJS) $(BUILD)/bench/iommu.o $(BUILD)/ksyms.o
-include $(BUILD)/bench/iommu.d

bench-exits: $(BUILD)/boot/weir.elf $(GUESTS) $(TEST_GUESTS) ## count the instructions of an exit, by its reason
	$(Q)BUILD=$(BUILD) $(PYTHON) bench/exits.py

bench-deferral: $(BUILD)/boot/weir.elf $(GUESTS) $(TEST_GUESTS) ## show what it buys not to wait for a late unit
	$(Q)BUILD=$(BUILD) $(PYTHON) bench/deferral.py

# Without Bochs, they say what they leave out.
ifneq ($(BOCHS),none)
bench-exits bench-deferral: bochs
endif

bench-irqoff: $(BUILD)/boot/weir.elf debug-image $(GUESTS) $(TEST_GUESTS) ## count how long interrupts are disabled
	$(Q)BUILD=$(BUILD) $(PYTHON) bench/irqoff.py

bench-host: $(BUILD)/bench/host ## measure the IOMMU core in nanoseconds on this machine, with one thread and two
	$(Q)$<

BENCH_SRCS := bench/host.c $(IOMMU_CORE) $(IOMMU_NEEDS)
$(BUILD)/bench/host: $(BENCH_SRCS) $(shell find iommu kernel drivers -name '*.h') Makefile
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(HOSTCC) -std=gnu11 -O2 -Wall -Wextra -Werror -DWEIR_HOST -I. $(BENCH_SRCS) -o $@ -lpthread

bench-linux: iso third_party/linux/fetched ## compare Linux in Weir with native Linux, and run two (ROUNDS=, MB=)
	$(Q)BUILD=$(BUILD) $(PYTHON) bench/linux.py
	$(Q)BUILD=$(BUILD) $(PYTHON) bench/neighbours.py

# --- checks -------------------------------------------------------------------

check: ## run every check: gcc, clang, lint, unit tests, model, fuzzing, system tests; print the total
	$(Q)MAKE='$(MAKE)' BUILD=$(BUILD) tools/check

check-quick: ## between commits: lint, unit tests, a short model, fuzz targets linked, one boot of each kind
	$(Q)MAKE='$(MAKE)' BUILD=$(BUILD) tools/check quick

check-long: deps ## run the system tests that `make check` omits, mostly Linux guests (K=EXPRESSION: only these)
	$(Q)$(submake) system MARK=long

lint: $(OBJS) ## check layout, layers, sizes, headers and commit subjects; run cppcheck
	$(Q)BUILD=$(BUILD) CC='$(CC)' PYTHON='$(PYTHON)' tools/lint

format: ## lay out the sources: section separators, includes, clang-format
	$(Q)tools/check-text --fix
	$(Q)tools/check-c --fix
	$(Q)clang-format-19 -i $$(git ls-files '*.c' '*.cc' '*.h')

clean: ## remove everything that was built
	rm -rf $(BUILD) compile_commands.json
