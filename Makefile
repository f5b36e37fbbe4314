# SPDX-License-Identifier: MIT
# bench: profiling and benchmarking of LLM inference.
#
#   make demo     install what is missing, build, run suites/kvcache_on_off, write report and record
#   make check    install what is missing, build, run every test
#   make          build only                make lint    format, includes, clang-tidy
#   make deps     install what is missing   make clean
#
# Options:  CC=clang   SAN=1 (address and undefined-behaviour sanitizers)   PAPI=auto|0|1   V=1 (show commands)
# Each combination builds into a folder of its own, so they do not disturb each other.

CC      ?= cc
CXX     := $(subst clang,clang++,$(subst gcc,g++,$(if $(filter cc,$(CC)),c++,$(CC))))
PAPI    ?= auto
SAN     ?= 0
V       ?= 0
JOBS    := $(shell nproc 2>/dev/null || echo 1)
Q       := $(if $(filter 1,$(V)),,@)
.DEFAULT_GOAL := all

# --- features: auto asks the compiler, 0 leaves out, 1 insists -----------------------------------------------------------
ifeq ($(PAPI),auto)
  HAVE_PAPI := $(shell echo 'int main(void) { return 0; }' | $(CC) -include papi.h -x c - -o /dev/null -lpapi 2>/dev/null && echo 1 || echo 0)
else
  HAVE_PAPI := $(PAPI)
endif

CCNAME := $(notdir $(firstword $(CC)))
BUILD  := build/$(if $(filter cc gcc,$(CCNAME)),gcc,$(CCNAME))$(if $(filter 1,$(SAN)),-san)$(if $(filter 0,$(HAVE_PAPI)),-nopapi)
GEN    := build/gen

# --- flags ---------------------------------------------------------------------------------------------------------------
PKGS     := yaml-0.1 jansson libpcre2-8 hwloc sqlite3 libutf8proc libcrypto
OPENBLAS := $(shell pkg-config --exists openblas && echo openblas || echo blas-openblas)
VERSION  := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
WARN     := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wno-format-truncation -Wno-unknown-warning-option -Wno-pass-failed
CPPFLAGS := -D_GNU_SOURCE -DHAVE_PAPI=$(HAVE_PAPI) $(shell pkg-config --cflags $(PKGS) $(OPENBLAS) 2>/dev/null)
CFLAGS   := -std=c11 -O2 -g -fopenmp -fno-math-errno $(WARN)
LDFLAGS  := -fopenmp
CXXFLAGS := -std=c++17 $(filter-out -std=c11 -Wstrict-prototypes -Wmissing-prototypes,$(CFLAGS))
# SentencePiece is named here: its .pc file asks for one of protobuf's that Debian 13 does not install with it.
LDLIBS   := $(shell pkg-config --libs $(PKGS) $(OPENBLAS) 2>/dev/null) -lsentencepiece $(if $(filter 1,$(HAVE_PAPI)),-lpapi) -lm -ldl
# Sanitizers on kernels unrolled by -O3 would take compilers minutes; what is fuzzed runs no kernel.
KERNEL_FLAGS := $(if $(filter 1,$(SAN)),,-O3) -ffp-contract=fast
ifeq ($(SAN),1)
  CFLAGS  := $(filter-out -O2,$(CFLAGS)) -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
  LDFLAGS += -fsanitize=address,undefined
endif

# --- rooms: the -I list of a room IS what it may include -----------------------------------------------------------------
INC_engine  := -Iengine -Iengine/base
INC_probes  := -Iprobes -Iprobes/roofs -Iengine/base
INC_report  := -Ireport -Iengine/base
INC_suites  := -Isuites -Iengine -Iengine/base -Iprobes -Iprobes/roofs -Ireport
INC_tests   := -Itests $(INC_suites)

# Files that are compiled once for each instruction-set level, and what each folder's levels are.
ISA_KERNELS := $(wildcard engine/backends/cpu/*_kernels.c) probes/roofs/kernels.c
SRC_engine  := $(filter-out $(ISA_KERNELS),$(wildcard engine/*.c engine/*/*.c engine/*/*/*.c))
CXX_engine  := $(wildcard engine/*/*.cc)
SRC_probes  := $(filter-out $(ISA_KERNELS),$(wildcard probes/*.c probes/*/*.c))
SRC_report  := $(wildcard report/*.c)
SRC_suites  := $(filter-out suites/bench.c,$(wildcard suites/*.c))

MACHINE     := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
ISA_LEVELS  := base $(if $(filter x86_64,$(MACHINE)),avx2 avx512 avx512bf16)
ISA_base    :=
ISA_avx2    := -mavx2 -mfma -mf16c
ISA_avx512  := $(ISA_avx2) -mavx512f -mavx512vl -mavx512dq -mavx512bw -mprefer-vector-width=512
ISA_avx512bf16 := $(ISA_avx512) -mavx512bf16 -mavx512vnni

OBJ := $(foreach r,engine probes report suites,$(SRC_$(r):%.c=$(BUILD)/%.o)) $(CXX_engine:%.cc=$(BUILD)/%.o) \
       $(foreach k,$(ISA_KERNELS),$(foreach l,$(ISA_LEVELS),$(BUILD)/$(k:.c=)_$(l).o)) $(BUILD)/report/embedded.o \
       $(BUILD)/probes/event_files.o
LIB := $(BUILD)/libbench.a
BIN := $(BUILD)/bench

TESTS     := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/*_test.c))
TEST_LIBS := $(shell pkg-config --libs cmocka 2>/dev/null)

.PHONY: all program build-tests clean deps deps-test demo check check-aarch64 emulated-tests lint test fuzz fuzz-build fuzz-programs fuzz-smoke
.SECONDARY:

program: $(BIN) $(BUILD)/gpt2.tiktoken

# ./bench starts the program that was built last with `make all`.
all: program
	$(Q)printf '#!/bin/sh\nexec "$$(dirname "$$(readlink -f "$$0")")/$(BIN)" "$$@"\n' > bench && chmod +x bench

$(BIN): $(BUILD)/suites/bench.o $(LIB)
	@echo "  link    $@"
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(LIB): $(OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

define room_rules
$(BUILD)/$(1)/%.o: $(1)/%.c
	@mkdir -p $$(@D)
	@echo "  cc      $$<"
	$$(Q)$$(CC) $$(CPPFLAGS) $$(CFLAGS) $$(INC_$(1)) -MMD -MP -c -o $$@ $$<
$(BUILD)/$(1)/%.o: $(1)/%.cc
	@mkdir -p $$(@D)
	@echo "  c++     $$<"
	$$(Q)$$(CXX) $$(CPPFLAGS) $$(CXXFLAGS) $$(INC_$(1)) -MMD -MP -c -o $$@ $$<
$(foreach l,$(ISA_LEVELS),
$(BUILD)/$(1)/%kernels_$(l).o: $(1)/%kernels.c
	@mkdir -p $$(@D)
	@echo "  cc      $$< ($(l))"
	$$(Q)$$(CC) $$(CPPFLAGS) $$(CFLAGS) $$(KERNEL_FLAGS) $$(ISA_$(l)) -DISA=$(l) $$(INC_$(1)) -MMD -MP -c -o $$@ $$<
)
endef
$(foreach r,engine probes report suites tests,$(eval $(call room_rules,$(r))))

# The version is compiled into one file, rebuilt when it changes.
$(BUILD)/suites/version.o: CPPFLAGS += -DBENCH_VERSION='"$(VERSION)"'
$(BUILD)/suites/version.o: $(BUILD)/version
$(BUILD)/version: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' > $@
FORCE:

# Texts that are compiled in: schema, template, report page.
$(BUILD)/report/embedded.o: report/embedded.S $(wildcard report/schema*.sql) experiments/TEMPLATE.md $(GEN)/page.html
	@mkdir -p $(@D)
	$(Q)$(CC) -c -o $@ $< -Wa,-Ireport,-Iexperiments,-I$(GEN)

# Event files, compiled in.
$(BUILD)/probes/event_files.o: probes/event_files.S probes/event_list.h $(wildcard probes/events/*.txt)
	@mkdir -p $(@D)
	$(Q)$(CC) -c -o $@ $< -Iprobes -Wa,-Iprobes/events

# --- generated at build time from npm packages -----------------------------------------------------------------------------
build/node_modules.stamp: package.json package-lock.json
	@mkdir -p build
	@echo "  npm     ci"
	$(Q)npm ci --loglevel=error --no-audit --no-fund >/dev/null
	$(Q)touch $@

$(GEN)/page.html: build/node_modules.stamp $(wildcard report/html/*)
	@mkdir -p $(GEN)
	@echo "  bundle  $@"
	$(Q)node report/html/build.mjs $@

$(GEN)/gpt2.tiktoken: build/node_modules.stamp engine/tokenizer/extract_ranks.mjs
	@mkdir -p $(GEN)
	@echo "  ranks   $@"
	$(Q)node engine/tokenizer/extract_ranks.mjs gpt2 $@

$(BUILD)/gpt2.tiktoken: $(GEN)/gpt2.tiktoken
	@mkdir -p $(@D)
	$(Q)cp $< $@

# --- the two commands ------------------------------------------------------------------------------------------------------
deps:
	$(Q)sh .ci/deps run
deps-test:
	$(Q)sh .ci/deps run test

demo: deps
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all
	$(Q)./bench run suites/kvcache_on_off || [ $$? -eq 3 ] # 3: done, and some claim did not hold on this machine

check: deps-test
	$(Q)$(MAKE) --no-print-directory lint
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) test

# --- tests -----------------------------------------------------------------------------------------------------------------
$(BUILD)/tests/%_test: $(BUILD)/tests/%_test.o $(LIB)
	@echo "  link    $@"
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^ $(TEST_LIBS) $(LDLIBS)

test: all $(TESTS)
	$(Q)$(MAKE) --no-print-directory SAN=1 program build-tests
	$(Q)$(MAKE) --no-print-directory fuzz-build
	$(Q)sh tests/run.sh $(BUILD)

build-tests: $(TESTS)

# The engine for another architecture, whose base level is NEON, and the kernels' tests, run under emulation.
EMULATED := $(patsubst %,$(BUILD)/tests/emulated/%_test,float_kernels int8_kernels attention)
$(EMULATED): $(BUILD)/tests/emulated/%: $(BUILD)/tests/%.o $(BUILD)/tests/aarch64/blas.o $(SRC_engine:%.c=$(BUILD)/%.o) \
             $(patsubst %.c,$(BUILD)/%_base.o,$(ISA_KERNELS))
	@mkdir -p $(@D)
	@echo "  link    $@"
	$(Q)$(CC) $(LDFLAGS) -static -Wl,--gc-sections -o $@ $^ -lm
emulated-tests: $(EMULATED)
check-aarch64:
	$(Q)sh tests/aarch64/run.sh

# One program for each tests/fuzz/fuzz_*.c, all in a build of their own:  make fuzz FUZZ=gguf FUZZ_SECONDS=600
FUZZ_CC      := clang -fsanitize=fuzzer-no-link
FUZZ_SECONDS ?= 60
FUZZERS      := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(LIB)
	@echo "  link    $@"
	$(Q)$(CXX) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)
$(BUILD)/tests/fuzz/fuzz_gguf: LDFLAGS += -Wl,--wrap=mmap,--wrap=munmap

fuzz-programs: $(FUZZERS)
fuzz-build:
	$(Q)echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | clang -fsanitize=fuzzer -x c - -o /dev/null 2>/dev/null || exit 0; \
	$(MAKE) --no-print-directory CC='$(FUZZ_CC)' SAN=1 PAPI=0 BUILD=build/fuzz KERNEL_FLAGS='-O1 -fno-sanitize=all' fuzz-programs
fuzz: fuzz-build
	$(Q)sh tests/fuzz/run.sh '$(FUZZ)' build/fuzz/found/'$(FUZZ)' -max_total_time=$(FUZZ_SECONDS)
fuzz-smoke: fuzz-build
	$(Q)sh tests/fuzz/smoke.sh

# --- lint ------------------------------------------------------------------------------------------------------------------
lint:
	$(Q)sh tests/lint.sh

clean:
	rm -rf build bench node_modules

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
