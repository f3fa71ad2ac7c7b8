# The two main targets: make demo, make test.
# PYTHON chooses the interpreter. IN and OUT are a video and its result for the demo.

PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 3
# SlipCover would take its instructions out of functions after so many lines that have run already. It looks for them in
# the local variables of all threads, which fails where another thread changes them, and saves no time here.
NEVER  := 1000000000
VAPOURSYNTH_VENV ?= .venv-vapoursynth
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
export IN OUT

.PHONY: demo test check docs docs-serve test-slow test-chaos test-cuda test-container test-wheel test-vapoursynth test-pyav vapoursynth-venv bench soak clean wheel

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: $(STAMP)  ## upscale a clip (IN=your.mp4, else a rendered one) and draw a before/after picture
	@test ! -e "$${OUT:-none}" || { echo "$$OUT exists already; remove it, or name another OUT" >&2; exit 2; }
	$(BIN)/vsr demo -y --folder demo $${IN:+--source "$$IN"} $${OUT:+--target "$$OUT"}

check: $(STAMP)  ## lint, types, import contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32
	$(BIN)/mypy --platform darwin
	$(BIN)/lint-imports

test: check  ## check, all tests except the slow ones, and the share of lines that they run; JOBS processes
	mkdir -p build
	OMP_NUM_THREADS=1 $(BIN)/python -m slipcover --threshold $(NEVER) --json --out build/coverage.json \
	    -m pytest -q -n $(JOBS)
	$(BIN)/python -m tests.project.coverage_table build/coverage.json

docs: $(STAMP)  ## write what is generated: the list of files, the reference, the tables of benchmarks; build the site
	$(BIN)/python docs/tree.py
	$(BIN)/python docs/settings.py
	$(BIN)/python docs/commands.py
	$(BIN)/python docs/api.py
	$(BIN)/python -m benchmarks.tables
	$(BIN)/mkdocs build --strict --quiet

docs-serve: $(STAMP)  ## show the documentation site on this machine while it is edited
	$(BIN)/mkdocs serve

test-slow: $(STAMP)  ## the tests that take minutes
	$(BIN)/pytest -q -m slow

test-chaos: $(STAMP)  ## workers, machines, drivers, disks and stores of a Ray cluster that fail; takes minutes
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -m slow plugins/ray

test-cuda: $(STAMP)  ## the tests that need a GPU; fails without one
	VSR_REQUIRE_CUDA=1 $(BIN)/pytest -q -m needs_cuda

test-container: $(STAMP)  ## build the Dockerfile and upscale in it; without docker or podman in a Debian root, as root (CONTAINER=--help)
	$(BIN)/python -m tests.container.steps $(CONTAINER)

test-wheel: $(STAMP)  ## install the wheel without constraints in an empty environment of each Python found (WHEEL=--help)
	$(BIN)/python -m tests.project.wheel $(WHEEL)

# VapourSynth's wheels need Python 3.12 or later, so its tests have their own environment (5 GB with torch for CUDA).
test-vapoursynth: vapoursynth-venv  ## the VapourSynth plugin in its host, and spandrel; VAPOURSYNTH_PYTHON names the interpreter
	@[ ! -x $(VAPOURSYNTH_VENV)/bin/python ] || { set -x; \
	  OMP_NUM_THREADS=1 $(VAPOURSYNTH_VENV)/bin/python -m pytest -q plugins/vapoursynth && \
	  OMP_NUM_THREADS=1 $(VAPOURSYNTH_VENV)/bin/python -m pytest -q tests/models/test_thirdparty.py -k spandrel; }

test-pyav: vapoursynth-venv  ## the tests of vsr.media with the PyAV version for Python 3.12 and later, in the same environment
	@[ ! -x $(VAPOURSYNTH_VENV)/bin/python ] || { set -x; \
	  OMP_NUM_THREADS=1 $(VAPOURSYNTH_VENV)/bin/python -m pytest -q -m 'not slow and not needs_material' tests/media; }

vapoursynth-venv:
	@python=; for one in $(VAPOURSYNTH_PYTHON) python3.14 python3.13 python3.12; do \
	  if $$one -c '' 2>/dev/null; then python=$$one; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo 'test-vapoursynth: skipped, no Python 3.12 or later was found; name one: VAPOURSYNTH_PYTHON=...'; exit 0; fi; \
	set -ex; \
	[ -x $(VAPOURSYNTH_VENV)/bin/python ] || $$python -m venv $(VAPOURSYNTH_VENV); \
	$(VAPOURSYNTH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -e '.[spandrel]' pytest 'vapoursynth>=81'

bench: $(STAMP)  ## measure speed and memory side by side, then the speed of training; tables in bench/
	$(BIN)/python -m benchmarks.speed.whole_runs --out bench
	$(BIN)/python -m benchmarks.speed.startup --out bench
	$(BIN)/python -m benchmarks.speed.training --out bench

soak: $(STAMP)  ## all attacks in full; prints one table (SOAK=--quick: fewer)
	$(BIN)/python -m benchmarks.soak.attacks --out bench $(SOAK)

wheel: $(STAMP)
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -w dist .

clean:
	rm -rf $(VENV) demo bench dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
