# The second test machine: Bochs, which tools/build-bochs builds into a cache, and our plugin for it. The plugin's parts
# know nothing of Bochs, except glue/, and are tested on the host as well. BOCHS=none leaves the machine out.

.PHONY: bochs bochs-try
CXX := $(if $(filter default,$(origin CXX)),g++,$(CXX))
BOCHS_WARN := -std=c++17 -Wall -Wextra -Werror -Wshadow -Itests

# --- the plugin ---------------------------------------------------------------

BOCHS_SRCS := tests/bochs/knobs.cc $(wildcard $(addsuffix /*.cc,$(addprefix tests/bochs/,unit devices glue)))
BOCHS_OBJS := $(BOCHS_SRCS:tests/bochs/%.cc=$(BUILD)/bochs/%.o)
# As Bochs compiles its own plugins; its headers are not ours to warn about.
BOCHS_CXXFLAGS := $(BOCHS_WARN) -O2 -g -fPIC -D_FILE_OFFSET_BITS=64 -D_LARGE_FILES
# $(call in_bochs,NAME): a file or directory of the cached build, for a recipe.
in_bochs = $$(cat $(BUILD)/bochs/where)/$(1)
BOCHS_HEADERS = $(foreach d,. iodev iodev/network instrument/stubs,-isystem $(call in_bochs,tree/$(d)))

bochs: $(BUILD)/bochs/where $(BUILD)/bochs/libbx_weir.so ## build Bochs (once: WEIR_CACHE=DIR) and our plugin

# Bochs' directory in the cache: another one whenever its edits, options or compilers change. What is compiled with its
# headers is then compiled again.
$(BUILD)/bochs/where: FORCE
	@mkdir -p $(@D)
	$(Q)tools/build-bochs >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(BUILD)/bochs/%.o: tests/bochs/%.cc $(BUILD)/flags tests/bochs/build.mk
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) $(BOCHS_CXXFLAGS) $(bochs_headers) -MMD -MP -c $< -o $@
$(filter $(BUILD)/bochs/glue/%,$(BOCHS_OBJS)): bochs_headers = $(BOCHS_HEADERS)
$(filter $(BUILD)/bochs/glue/%,$(BOCHS_OBJS)): $(BUILD)/bochs/where

# Symbols of Bochs itself are found when it loads the plugin.
$(BUILD)/bochs/libbx_weir.so: $(BOCHS_OBJS)
	$(call say,LD,$@)
	$(Q)$(CXX) -shared $^ -o $@
-include $(BOCHS_OBJS:.o=.d)

# For the system tests: if Bochs or the plugin cannot be built, the file `failed` says so. The tests on Bochs fail then
# and show the end of this log; the tests on QEMU run.
bochs-try:
	@mkdir -p $(BUILD)/bochs
	@rm -f $(BUILD)/bochs/failed
ifeq ($(BOCHS),none)
	@echo "BOCHS=none: the tests on Bochs are left out"
else
	+@{ $(submake) bochs 2>&1 || echo "make bochs" >$(BUILD)/bochs/failed; } | tee $(BUILD)/bochs/log
endif

# --- host tests ---------------------------------------------------------------

# As for tests/unit: the first comment of each tests/bochs/test_*.cc lists its "sources:".
BOCHS_TESTS := $(patsubst tests/bochs/%.cc,%,$(wildcard tests/bochs/test_*.cc))
BOCHS_UNIT_BINS := $(BOCHS_TESTS:%=$(BUILD)/tests/bochs/%)
BOCHS_UNIT_CXXFLAGS := $(BOCHS_WARN) -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer

$(BUILD)/unit/%.o: %.cc Makefile tests/bochs/build.mk
	@mkdir -p $(@D)
	$(call say,TEST,$<)
	$(Q)$(CXX) $(BOCHS_UNIT_CXXFLAGS) -MMD -MP -c $< -o $@

# $(1): a test's name, $(2): its sources.
define BOCHS_UNIT_RULE
$(BUILD)/tests/bochs/$(1): $$(patsubst %.cc,$(BUILD)/unit/%.o,tests/bochs/$(1).cc $(2))
	@mkdir -p $$(@D)
	$$(Q)$$(CXX) $$(BOCHS_UNIT_CXXFLAGS) $$^ -o $$@ -lcmocka
-include $$(patsubst %.cc,$(BUILD)/unit/%.d,tests/bochs/$(1).cc $(2))
endef
bochs_unit_rule = $(call BOCHS_UNIT_RULE,$(1),$(call field,tests/bochs/$(1).cc,sources))
$(foreach t,$(BOCHS_TESTS),$(eval $(call bochs_unit_rule,$(t))))
