# `make` alone lists the targets. Variables:
#   DEMO_DIR=demo     where `make demo` writes
#   DEMO_FLAGS=       more arguments for `deepid2 demo`, such as --short
#   BENCH_FLAGS=      more arguments for `deepid2 bench`: `BENCH_FLAGS=kernels`, `BENCH_FLAGS='--batch 64,128'`
#   CARGO_TARGET_DIR  where cargo builds

DEMO_DIR ?= demo
DEMO_FLAGS ?=
BENCH_FLAGS ?=
CARGO_TARGET_DIR ?= target
# Exported, so that cargo builds where this file looks for the binary, whatever cargo's own configuration says.
export CARGO_TARGET_DIR

# Where setup.sh puts cargo when there is none: found in the same `make` that installed it. SHELL is set because macOS'
# make 3.81 looks up commands in the old PATH unless a shell does it.
SHELL := bash
CARGO_HOME ?= $(HOME)/.cargo
export PATH := $(CARGO_HOME)/bin:$(PATH)

# Without a desktop session, Mesa's device-selection layer looks for Wayland and prints an "error:" that is none. Nothing
# here needs the layer: deepid2 chooses among all adapters itself.
ifndef XDG_RUNTIME_DIR
export NODEVICE_SELECT := 1
endif

DEEPID2 := $(CARGO_TARGET_DIR)/release/deepid2

# Two tests a core: one waits while a software driver makes machine code, in one thread a device.
export RUST_TEST_THREADS ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))

.DEFAULT_GOAL := help
.PHONY: help setup build demo test bench clean-demo

help: ## List these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

setup: ## Install what this machine lacks: Rust, a linker, a Vulkan driver
	@./setup.sh

build: setup ## Build the optimised binary
	cargo build --locked --release

demo: build ## Make synthetic faces, train on them, verify people never seen in training
	"$(DEEPID2)" demo --out "$(DEMO_DIR)" $(DEMO_FLAGS)

# The release profile, because the f64 references and a software GPU are slow without it, and the demo shares the build.
test: setup ## Check the format, the lints and every test
	cargo fmt --check
	cargo clippy --locked --release --all-targets -- -D warnings
	cargo test --locked --release
	@# Mesa's software driver has vectors of 256 or 512 bits: a few random cases of each operation with those that it did not
	@# have just now, as machine code that is not optimised, which saves a third of the time. Its cache does not tell one width
	@# from the other.
	@if grep -qs avx512vl /proc/cpuinfo; then \
		if "$(DEEPID2)" devices | grep -q '512 bits'; then width=256; else width=512; fi; set -x; \
		LP_NATIVE_VECTOR_WIDTH=$$width GALLIVM_PERF=nopt MESA_SHADER_CACHE_DIR="$(CARGO_TARGET_DIR)/other-width" \
		PROPTEST_CASES=$${PROPTEST_CASES:-4} cargo test --locked --release --lib ops::; fi

bench: build ## Time each kernel and whole training steps on this machine's GPU
	"$(DEEPID2)" bench $(BENCH_FLAGS)

clean-demo: ## Delete what `make demo` wrote
	@case "$(DEMO_DIR)" in ''|/|.|..|*/|*/.|*/..|"$(HOME)") echo "clean-demo: DEMO_DIR='$(DEMO_DIR)' is not a folder made by the demo" >&2; exit 1;; esac
	rm -rf -- "$(DEMO_DIR)"
