# SPDX-License-Identifier: Apache-2.0
# The commands of the README. Everything here is short; the work is in scripts/ and CMake.
#   PRESET=cpu-debug        another preset of CMakePresets.json
#   BUILD=build/other       another build folder
#   HICI_CUDA=OFF, HICI_TEXT=OFF, HICI_ARROW=OFF, HICI_UNITY=OFF, HICI_WERROR=ON, HICI_TORCH_DIR=FOLDER   options of the build
#                           (CMakeLists.txt)
#   CTEST_ARGS="-L unit"    which tests, how
#   CTEST_WITHOUT="gpu"     labels of tests that are left out
PRESET ?= cuda-release
BUILD := build/$(PRESET)
OPTIONS := $(foreach name,HICI_CUDA HICI_TEXT HICI_ARROW HICI_UNITY HICI_WERROR HICI_TORCH_DIR,$(if $($(name)),-D$(name)=$($(name))))
CONFIGURE := cmake --preset $(PRESET) -B $(BUILD) $(OPTIONS)
CTEST_WITHOUT ?= gpu
# As hici does for itself: idle threads of OpenMP that spin take the cores from the test beside. Five binaries of unit tests
# took 290 s of processor time, without it 84 s.
CTEST_ENVIRONMENT := $(if $(OMP_WAIT_POLICY)$(GOMP_SPINCOUNT),,GOMP_SPINCOUNT=1000)
export HICI_TEXT HICI_WHEEL_INDEX

# Releases of pyarrow, beside the pinned one, that the wheel reads with (one plug-in of 0.5 MB each).
PYARROWS ?= 23.0.1 24.0.0 25.0.1

.PHONY: help quickstart test bench build wheel setup setup-test clean

help:
	@echo "make quickstart   set up, build the program, then train HiCI on a real text and show what it gained (SEED=1)"
	@echo "make test         set up, build program and tests, then run every test that a CPU can run"
	@echo "make bench        tokens per second of a training step, and the cost of HiCI's parts"
	@echo "make build        set up and build the program alone, $(BUILD)/bin/hici"
	@echo "make wheel        a wheel for pip install, in dist/ (PYARROWS=\"25.0.1 ...\")"
	@echo "make setup        system packages and the wheels in .venv, without building"
	@echo "make clean        remove build/ (.venv and quickstart/ stay)"

quickstart: build
	$(BUILD)/bin/hici quickstart $(if $(SEED),--seed $(SEED))

test: setup-test
	$(CONFIGURE)
	cmake --build $(BUILD)
	$(CTEST_ENVIRONMENT) ctest --test-dir $(BUILD) --label-exclude "$(CTEST_WITHOUT)" --parallel 2 --output-on-failure \
	  --no-tests=error $(CTEST_ARGS)

# BENCH_ARGS stand behind these options and may add some: make bench BENCH_ARGS="--output bench.json".
bench: build
	$(BUILD)/bin/hici bench step --model quickstart --device cpu --seq_len 1024 --batch_size 4 --with_optimizer \
	  --attention s2,segments,hici,full --repetitions 15 --warmup 3 $(BENCH_ARGS)

build: setup
	$(CONFIGURE)
	cmake --build $(BUILD) --target hici_app

# Into dist/. `make wheel PYARROWS=` is for the pinned pyarrow alone.
wheel: setup
	$(CONFIGURE) "-DHICI_ARROW_MORE_DIRS=$$(scripts/fetch_pyarrow $(PYARROWS))"
	cmake --build $(BUILD) --target hici_app
	.venv/bin/python3 -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target build/wheel-tools -r scripts/requirements-wheel.txt
	PYTHONPATH=build/wheel-tools .venv/bin/python3 scripts/make_wheel --build $(BUILD)

setup:
	scripts/setup

setup-test:
	scripts/setup --test

clean:
	rm -rf build
