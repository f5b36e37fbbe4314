# SPDX-License-Identifier: MIT
# bench: profiling and benchmarking of LLM inference.
#
#   make demo     install what is missing, build, run suites/kvcache_on_off, write report and record
#   make check    install what is missing, build, run every test
#   make          build only                make lint    format, includes, clang-tidy
#   make deps     install what is missing   make clean
#
#   make check-gpu   on a machine with an NVIDIA GPU: the plug-in held against the CPU, its probes against known work
#   make gpu-record  that, the suites for GPUs, and the same shapes through transformers, into FOLDER (default build/gpu-record)
#   make bundle      what both need in one archive, for a machine with a GPU and nothing else
#
# Options:  CC=clang   SAN=1 (address and undefined-behaviour sanitizers)   PAPI=auto|0|1   CUDA=auto|0|1   V=1 (show commands)
#           CUDA_HOME=/usr/local/cuda (a CUDA toolkit, 12.8 or newer)
# Each combination builds into a folder of its own, so they do not disturb each other.

CC      ?= cc
CXX     := $(subst clang,clang++,$(subst gcc,g++,$(if $(filter cc,$(CC)),c++,$(CC))))
PAPI    ?= auto
CUDA    ?= auto
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

# The plug-in is not built for sanitizers: its kernels' emulation changes stacks, which they do not follow.
NVCC      := $(firstword $(if $(CUDA_HOME),$(wildcard $(CUDA_HOME)/bin/nvcc),$(wildcard /usr/local/cuda/bin/nvcc) $(shell command -v nvcc 2>/dev/null)))
NVCC_NEW  := $(if $(NVCC),$(shell $(NVCC) --version | sed -n 's/.*release \([0-9]*\)\.\([0-9]*\).*/\1 \2/p' | awk '{ print ($$1 * 100 + $$2 >= 1208) }'))
CUDA_OLD  := $(NVCC) is older than 12.8; name the folder of a newer CUDA toolkit with CUDA_HOME
ifeq ($(CUDA),auto)
  HAVE_CUDA := $(if $(filter 1,$(SAN)),0,$(or $(NVCC_NEW),0))
else
  HAVE_CUDA := $(CUDA)
  ifeq ($(CUDA)-$(NVCC_NEW),1-)
    $(error CUDA=1: no nvcc here; name the folder of a CUDA toolkit, 12.8 or newer, with CUDA_HOME)
  else ifeq ($(CUDA)-$(NVCC_NEW),1-0)
    $(error CUDA=1: $(CUDA_OLD))
  endif
endif

CCNAME := $(notdir $(firstword $(CC)))
BUILD  := build/$(if $(filter cc gcc,$(CCNAME)),gcc,$(CCNAME))$(if $(filter 1,$(SAN)),-san)$(if $(filter 0,$(HAVE_PAPI)),-nopapi)$(if $(filter 0,$(CUDA)),-nocuda)
GEN    := build/gen

# --- flags ---------------------------------------------------------------------------------------------------------------
PKGS     := yaml-0.1 jansson libpcre2-8 hwloc sqlite3 libutf8proc libcrypto
OPENBLAS := $(shell pkg-config --exists openblas 2>/dev/null && echo openblas || echo blas-openblas)
VERSION  := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
WARN     := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wno-format-truncation -Wno-unknown-warning-option -Wno-pass-failed
CPPFLAGS := -D_GNU_SOURCE -DHAVE_PAPI=$(HAVE_PAPI) $(shell pkg-config --cflags $(PKGS) $(OPENBLAS) 2>/dev/null)
CFLAGS   := -std=c11 -O2 -g -fopenmp -fno-math-errno $(WARN)
LDFLAGS  := -fopenmp -rdynamic # plug-ins call back
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
SRC_engine  := $(filter-out $(ISA_KERNELS) engine/backends/cuda/%,$(wildcard engine/*.c engine/*/*.c engine/*/*/*.c))
CXX_engine  := $(wildcard engine/*/*.cc)
SRC_probes  := $(filter-out $(ISA_KERNELS) probes/cuda/%,$(wildcard probes/*.c probes/*/*.c))
SRC_report  := $(wildcard report/*.c)
SRC_suites  := $(filter-out suites/bench.c,$(wildcard suites/*.c))

MACHINE     := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null)))
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
PLUGIN := $(if $(filter 1,$(HAVE_CUDA)),$(BUILD)/libbench_cuda.so)

TESTS     := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/*_test.c))
TEST_LIBS := $(shell pkg-config --libs cmocka 2>/dev/null)

.PHONY: check-gpu gpu-record gpu-build gpu-tests bundle FORCE all program build-tests clean deps deps-test demo check check-aarch64 emulated-tests lint test fuzz fuzz-build fuzz-programs fuzz-smoke
.SECONDARY:

program: $(BIN) $(PLUGIN) $(BUILD)/gpt2.tiktoken

# ./bench starts the program that was built last with `make all`.
all: program
ifeq ($(CUDA)-$(NVCC_NEW),auto-0)
	@echo "  no libbench_cuda.so: $(CUDA_OLD)"
endif
	$(Q)printf '#!/bin/sh\nexec "$$(dirname "$$(readlink -f "$$0")")/$(BIN)" "$$@"\n' > bench && chmod +x bench

# A bundle's programs look for libraries in a folder of the bundle first, and so do the libraries there; a build has none.
carried = -Wl,--disable-new-dtags,-rpath,'$$ORIGIN/$(1)'

$(BIN): $(BUILD)/suites/bench.o $(LIB)
	@echo "  link    $@"
	$(Q)$(CXX) $(LDFLAGS) $(call carried,lib) -o $@ $^ $(LDLIBS)

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

# --- the plug-in for NVIDIA GPUs: engine/backends/cuda and probes/cuda ------------------------------------------------------
ifeq ($(HAVE_CUDA),1)
CUDA_ROOT := $(patsubst %/bin/nvcc,%,$(realpath $(NVCC)))
CUDA_INC  := $(CUDA_ROOT)/include
CUDA_LIB  := $(firstword $(wildcard $(CUDA_ROOT)/lib64 $(CUDA_ROOT)/lib /usr/lib/$(shell $(CC) -dumpmachine)))
# Machine code for what this toolkit knows of these, and PTX that drivers translate for whatever comes later.
CUDA_KNOWN := $(patsubst compute_%,%,$(shell $(NVCC) --list-gpu-arch))
CUDA_ARCHS := $(foreach a,80 90a 100 120,$(if $(filter $(a:a=),$(CUDA_KNOWN)),$(a)))
CUDA_GEN   := $(foreach a,$(CUDA_ARCHS),-gencode=arch=compute_$(a),code=sm_$(a)) -gencode=arch=compute_90,code=compute_90
NVCCFLAGS  := -std=c++17 -O3 $(CUDA_GEN) $(if $(shell $(NVCC) --help | grep -e --compress-mode),--compress-mode=size) -Xcompiler -fPIC,-Wall,-Wextra,-Wno-unknown-pragmas \
              -Xptxas --warn-on-spills,--warn-on-local-memory-usage,--warning-as-error
INC_plugin_engine := $(INC_engine) -Iengine/backends/cuda
INC_plugin_probes := $(INC_probes) -Iprobes/cuda -I$(BUILD)/cshim
CU_plugin  := $(wildcard engine/backends/cuda/*.cu probes/cuda/*.cu)
C_plugin   := $(wildcard engine/backends/cuda/*.c probes/cuda/*.c)
CXX_plugin := $(wildcard probes/cuda/*.cc)
HOST_plugin := $(C_plugin:%.c=$(BUILD)/cuda/%.c.o) $(CXX_plugin:%.cc=$(BUILD)/cuda/%.cc.o)

define plugin_rules
$(BUILD)/cuda/$(2)/%.cu.o: $(2)/%.cu
	@mkdir -p $$(@D)
	@echo "  nvcc    $$<"
	$$(Q)$$(NVCC) $$(NVCCFLAGS) $$(INC_plugin_$(1)) -MMD -MF $$(@:.o=.d) -c -o $$@ $$<
$(BUILD)/cuda/$(2)/%.c.o: $(2)/%.c | $(BUILD)/cshim/string
	@mkdir -p $$(@D)
	@echo "  cc      $$<"
	$$(Q)$$(CC) $$(CPPFLAGS) $$(CFLAGS) -fPIC $$(INC_plugin_$(1)) -isystem $$(CUDA_INC) -MMD -MP -c -o $$@ $$<
$(BUILD)/cuda/$(2)/%.cc.o: $(2)/%.cc
	@mkdir -p $$(@D)
	@echo "  c++     $$<"
	$$(Q)$$(CXX) $$(CPPFLAGS) $$(CXXFLAGS) -fPIC $$(INC_plugin_$(1)) -isystem $$(CUDA_INC) -MMD -MP -c -o $$@ $$<
$(BUILD)/emu/$(2)/%.cu.o: $(2)/%.cu
	@mkdir -p $$(@D)
	@echo "  c++     $$< (emulated)"
	$$(Q)$$(CXX) $$(CPPFLAGS) $$(EMU_FLAGS) $$(INC_plugin_$(1)) -MMD -MP -x c++ -c -o $$@ $$<
endef
$(eval $(call plugin_rules,engine,engine/backends/cuda))
$(eval $(call plugin_rules,probes,probes/cuda))

# A header of CUPTI's includes C++'s <string> and needs nothing of it.
$(BUILD)/cshim/string:
	@mkdir -p $(@D)
	$(Q): > $@

$(BUILD)/libbench_cuda.so: $(CU_plugin:%=$(BUILD)/cuda/%.o) $(HOST_plugin) engine/backends/cuda/plugin.map
	@echo "  link    $@"
	$(Q)$(CXX) -shared -fopenmp -o $@ $(filter %.o,$^) -Wl,--version-script=engine/backends/cuda/plugin.map \
	    -L$(CUDA_LIB) -lcudart_static -lcublasLt -Wl,-rpath,$(CUDA_LIB) -ldl -lrt -lpthread

# The same kernels and host code on the CPU: tests/emu/README.md.
EMU_FLAGS := $(filter-out -Wshadow,$(CXXFLAGS)) -fPIC -U_FORTIFY_SOURCE -DCUDA_EMU -Itests/emu -isystem $(CUDA_INC) -Wno-unknown-pragmas
EMU_OBJ   := $(CU_plugin:%=$(BUILD)/emu/%.o) $(patsubst %.cc,$(BUILD)/emu/%.o,$(wildcard tests/emu/*.cc))
CUDA_TESTS := $(patsubst tests/cuda/%,$(BUILD)/tests/cuda/%,$(basename $(wildcard tests/cuda/*_test.c tests/cuda/*_test.cc)))
INC_cuda_tests := $(INC_tests) -Itests/emu -Itests/cuda -Iengine/backends/cuda -Iprobes/cuda -I$(BUILD)/cshim

$(BUILD)/emu/tests/emu/%.o: tests/emu/%.cc
	@mkdir -p $(@D)
	@echo "  c++     $<"
	$(Q)$(CXX) $(CPPFLAGS) $(EMU_FLAGS) -Iengine/base -MMD -MP -c -o $@ $<
$(BUILD)/tests/cuda/%.o: tests/cuda/%.c | $(BUILD)/cshim/string
	@mkdir -p $(@D)
	@echo "  cc      $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(INC_cuda_tests) -isystem $(CUDA_INC) -MMD -MP -c -o $@ $<
$(BUILD)/tests/cuda/%.o: tests/cuda/%.cc
	@mkdir -p $(@D)
	@echo "  c++     $<"
	$(Q)$(CXX) $(CPPFLAGS) $(EMU_FLAGS) $(INC_cuda_tests) -MMD -MP -c -o $@ $<
$(BUILD)/emu/libemulated.a: $(EMU_OBJ) $(HOST_plugin)
	$(Q)rm -f $@ && ar rcs $@ $^
# Beside the tests, under the plug-in's own name, so that the engine opens it as it would the real one.
$(BUILD)/tests/cuda/libbench_cuda.so: $(EMU_OBJ) $(HOST_plugin) engine/backends/cuda/plugin.map
	@mkdir -p $(@D)
	@echo "  link    $@ (emulated)"
	$(Q)$(CXX) -shared -fopenmp -o $@ $(filter %.o,$^) -Wl,--version-script=engine/backends/cuda/plugin.map -ldl -lpthread
$(BUILD)/tests/cuda/%_test: $(BUILD)/tests/cuda/%_test.o $(BUILD)/emu/libemulated.a $(LIB) | $(BUILD)/tests/cuda/libbench_cuda.so
	@echo "  link    $@"
	$(Q)$(CXX) $(LDFLAGS) -o $@ $(CALLED_BACK) -Wl,--start-group $^ -Wl,--end-group $(TEST_LIBS) $(LDLIBS)
# What a plug-in that is opened calls back must be there, although the test itself does not call it.
$(BUILD)/tests/cuda/backend_test $(BUILD)/tests/gpu/backend_test: CALLED_BACK = $$(nm -D -u $(BUILD)/tests/cuda/libbench_cuda.so | awk '$$2 !~ /@/ && $$1 == "U" { print "-Wl,-u," $$2 }')
endif

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

# NVML belongs to drivers; tests have one of their own, and an old one.
FAKE_NVML := $(BUILD)/tests/fake/libnvidia-ml.so.1 $(BUILD)/tests/fake/old/libnvidia-ml.so.1
$(BUILD)/tests/fake/old/libnvidia-ml.so.1: FAKE_FLAGS := -DOLD
$(FAKE_NVML): tests/data/fake_nvml.c tests/data/fake_nvml.h
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c11 $(WARN) $(FAKE_FLAGS) -fPIC -shared -Wl,-soname,libnvidia-ml.so.1 -o $@ $<
$(BUILD)/tests/nvml_test: | $(FAKE_NVML)

test: all $(TESTS) $(CUDA_TESTS)
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
	$(MAKE) --no-print-directory CC='$(FUZZ_CC)' SAN=1 PAPI=0 CUDA=0 BUILD=build/fuzz KERNEL_FLAGS='-O1 -fno-sanitize=all' fuzz-programs
fuzz: fuzz-build
	$(Q)sh tests/fuzz/run.sh '$(FUZZ)' build/fuzz/found/'$(FUZZ)' -max_total_time=$(FUZZ_SECONDS)
fuzz-smoke: fuzz-build
	$(Q)sh tests/fuzz/smoke.sh

# --- a real GPU ------------------------------------------------------------------------------------------------------------
# Tests that mean the same with the real kernels and the real runtime.
GPU_TESTS := $(patsubst %,$(BUILD)/tests/gpu/%_test,elementwise decode attention_decode attention_prefill synthesize matmul backend)

$(BUILD)/cuda/libreal.a: $(CU_plugin:%=$(BUILD)/cuda/%.o) $(HOST_plugin)
	$(Q)rm -f $@ && ar rcs $@ $^
$(BUILD)/tests/gpu/%_test: $(BUILD)/tests/cuda/%_test.o $(BUILD)/cuda/libreal.a $(LIB) $(PLUGIN)
	@mkdir -p $(@D)
	@echo "  link    $@"
	$(Q)$(CXX) $(LDFLAGS) $(call carried,../../lib) -o $@ $< $(CALLED_BACK) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(TEST_LIBS) $(LDLIBS) \
	    -L$(CUDA_LIB) -lcudart_static -lcublasLt -Wl,-rpath,$(CUDA_LIB) -lrt -lpthread
	$(Q)ln -sf ../../libbench_cuda.so $(@D)/libbench_cuda.so

FOLDER ?= build/gpu-record

check-gpu: gpu-build
	$(Q)sh tests/gpu/run.sh $(BUILD)
gpu-record: gpu-build
	$(Q)sh tests/gpu/record.sh $(BUILD) $(FOLDER)
bundle: gpu-build
	$(Q)sh tests/gpu/bundle.sh $(BUILD) build/bundle.tar.xz
gpu-build: deps-test
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) CUDA=1 all gpu-tests
gpu-tests: $(GPU_TESTS)

# --- lint ------------------------------------------------------------------------------------------------------------------
lint:
	$(Q)sh tests/lint.sh

clean:
	rm -rf build bench node_modules

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
