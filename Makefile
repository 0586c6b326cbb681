# `make demo` and `make test` are each complete on a machine that has only Python, make and a network.
#
#   VENV=.venv-3.12     another environment
#   PYTHON=python3.12   another interpreter (an environment that was made with a different one is made anew)
#   ARGS='-k take -x'   more arguments for pytest, or for the demo
#   JOBS=0              pytest in one process; or that many at a time (one more than processors: some tests only wait)
#   BUILD=compiled      what is tested or shown: `compiled` or `pure` (that wheel, built and installed; tests run where
#                       no source is in the way), or `checkout` (this folder, editable: what tests run on otherwise)
#   BYTEBUFS_PROFILE=short   whole tables instead of a share of them: four times as long (CONTRIBUTING.md has all profiles)
#   STEPS=50000         how many random steps `make sanitize` takes, and SEED=7, where they begin
#   SECONDS=600         how long `make fuzz` searches each target, TARGETS='framers tables' which; SEED=0 is always new
#   MODULES=bytebufs/reader.py   where `make mutants` puts mistakes; all that docs/mutants.md names, if nothing is said

VENV ?= .venv
JOBS ?= $(shell expr $$(nproc 2>/dev/null || echo 1) + 1)
STEPS ?= 1000000
SEED ?= 0
SECONDS ?= 60
VERSIONS = 3.15 3.14 3.13 3.12 3.11 3
CAPTURE ?= examples/captures/loopback.pcap
PY = $(VENV)/bin/python
WHEELS = $(abspath $(VENV))/wheels

.DEFAULT_GOAL := help
.PHONY: help demo test long sanitize mutants fuzz wheels cover check format bench docs clean

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: ## show the HTTP messages of a packet capture, put together without a copy: set up in some seconds
	@$(call prepare,examples)
	@$(call install,$(or $(BUILD),checkout),or-pure)
	@set -eu; at=$$(mktemp -d); trap 'rm -rf "$$at"' EXIT; ln -s "$(CURDIR)/examples" "$$at/examples"; \
	    echo "$(PY) -m examples.http_reassembly $(CAPTURE) $(ARGS)"; \
	    PYTHONPATH="$$at$${PYTHONPATH:+:$$PYTHONPATH}" $(PY) -P -m examples.http_reassembly $(CAPTURE) $(ARGS)

test: ## run the whole suite, in about two minutes; of a wheel with BUILD=compiled or BUILD=pure
	@echo "set-up, then the suite: about 2 minutes on two cores. A part of it: make test ARGS=tests/test_reader.py, or -k take"
	@$(call prepare,test)
	@$(call install,$(or $(BUILD),checkout),)
	@$(call run_tests,$(or $(BUILD),checkout))

long: ## run the suite with hypothesis searching for hours
	@$(call prepare,test)
	@$(call install,$(or $(BUILD),checkout),)
	@BYTEBUFS_PROFILE=long; export BYTEBUFS_PROFILE; $(call run_tests,$(or $(BUILD),checkout))

sanitize: ## have the compiled build watched for bad memory: a million random steps and the suite, two ways, for an hour
	@$(call prepare,test)
	@$(call sanitized)

fuzz: ## have libFuzzer search for inputs that break what parses bytes, a minute a target; of a wheel with BUILD
	@$(call prepare,test)
	@$(call install_atheris)
	@$(call install,$(or $(BUILD),checkout),)
	@$(call fuzzed,$(or $(BUILD),checkout))

# Of its own, as it needs a Python that atheris has a wheel for.
fuzz: VENV = .venv-fuzz
fuzz: VERSIONS = 3.13 3.12 3.11

mutants: ## put mistakes into modules, one at a time, and see whether their tests notice: MODULES=bytebufs/reader.py
	@$(call prepare,test)
	@$(call install,checkout,)
	@$(PY) -m pip install -qq --disable-pip-version-check 'mutmut==3.8.1'
	$(PY) -m tests.mutants $(ARGS) $(MODULES)

wheels: ## build both wheels and the source distribution, into VENV/wheels
	@$(call prepare,test)
	@$(call build_wheels)

cover: ## demand that each module is covered, branches too, by its own test file
	@$(call prepare,test)
	@$(call install,checkout,)
	unset PYTHONDONTWRITEBYTECODE; $(PY) -m tests.cover_by_module $(ARGS)

check: ## ruff, mypy --strict as the oldest Python and the newest see it, and pyright on whether every public type is known
	@$(call prepare,check)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	printf '%s\n' 3.11 3.14 3.15 | xargs -P 3 -I VERSION $(PY) -m mypy --python-version VERSION
	PYTHONPATH=$(CURDIR) $(PY) -m pyright --verifytypes bytebufs --ignoreexternal

format: ## let ruff lay out the code and mend what it can
	@$(call prepare,check)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: ## measure both builds against their rivals, keep the results, write the pages on performance
	@$(call prepare,bench)
	set -e; at=$$(mktemp -d); trap 'rm -rf "$$at"' EXIT; \
	    $(PY) -m pip install -qq --disable-pip-version-check --no-deps --target "$$at" .; \
	    cp -r benchmarks examples "$$at"; \
	    (cd "$$at" && $(abspath $(PY)) -m benchmarks --json $(CURDIR)/benchmarks/results $(ARGS))
	$(PY) -m benchmarks --json benchmarks/results $(ARGS)
	$(PY) -m benchmarks._page

docs: ## build the documentation into site/
	@$(call prepare,docs)
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

clean: ## remove all that make and .ci/run have made
	rm -rf .venv .venv-* .ci-cache build dist site htmlcov *.egg-info
	rm -rf .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find bytebufs tests examples benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +

# Print the newest interpreter that works, of those the suite is run on first. Each is tried, not trusted: a pyenv shim
# may stand for a version that is switched off, and Debian's python3 has no ensurepip before python3-venv is there.
define find_python
for version in $(VERSIONS); do \
    for python in python$$version "$$HOME"/.pyenv/versions/$$version.*/bin/python3; do \
        if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
            command -v "$$python"; exit 0; \
        fi; \
    done; \
done; \
echo "no usable Python found of $(VERSIONS), at least 3.11 (on Debian: apt install python3-venv); name one with PYTHON=/path/to/python3" >&2; \
exit 1
endef

# $(call build_wheels): the source distribution, and from it the wheel that this machine gives, compiled where a C
# compiler works, and the pure one. Done again only when something that is built has changed. One line says what was
# built, and why it is not compiled if it is not: pip would keep that to itself. (The source distribution is unpacked
# first: pip keeps what it builds of an archive, and does not look again whether the archive has changed. And one is
# made at a time: setuptools gathers its files in a folder of this tree, whoever else does.)
define build_wheels
set -eu; \
wanted="$(CURDIR) $$(find bytebufs _build setup.py pyproject.toml README.md -type f ! -name '*.pyc' \
    | LC_ALL=C sort | xargs cat | cksum)"; \
if [ "$$(cat $(WHEELS)/stamp 2>/dev/null || true)" != "$$wanted" ]; then \
    echo "building wheels into $(VENV)/wheels"; \
    rm -rf $(WHEELS); mkdir -p $(WHEELS); \
    $(PY) -m pip install -qq --disable-pip-version-check 'setuptools>=77'; \
    say() { "$$@" >$(WHEELS)/log 2>&1 || { cat $(WHEELS)/log >&2; exit 1; }; }; \
    say $(PY) -c 'import fcntl, sys; lock = open("setup.py"); fcntl.flock(lock, fcntl.LOCK_EX); \
        sys.path.insert(0, "_build"); import backend; backend.build_sdist(sys.argv[1])' $(WHEELS); \
    tar -xzf $(WHEELS)/bytebufs-*.tar.gz -C $(WHEELS); \
    for pure in 1 0; do \
        export BYTEBUFS_PURE=$$pure; \
        say $(PY) -m pip wheel -v --disable-pip-version-check --no-deps -w $(WHEELS) $(WHEELS)/bytebufs-*/; \
    done; \
    sed -n 's/^ *\(bytebufs: .*\)/\1/p' $(WHEELS)/log; \
    echo "$$wanted" >$(WHEELS)/stamp; \
fi
endef

# $(call install,BUILD,or-pure): have that build in VENV, where `prepare` left the checkout. With or-pure the pure wheel
# will do where there is no compiled one.
define install
set -eu; \
case '$(1)' in checkout|compiled|pure) ;; *) echo "BUILD is checkout, compiled or pure, not $(1)" >&2; exit 1;; esac; \
if [ '$(1)' = checkout ]; then \
    wanted=checkout; what="--editable ."; \
else \
    $(call build_wheels); \
    what=$$(ls $(WHEELS)/*-py3-none-any.whl); \
    if [ '$(1)' = compiled ]; then \
        compiled=$$(ls $(WHEELS)/*.whl | grep -v -e -py3-none-any.whl || true); \
        if [ -n "$$compiled" ]; then \
            what=$$compiled; \
        elif [ -n '$(2)' ]; then \
            echo "no compiled wheel could be built here: this is the pure build"; \
        else \
            cat $(WHEELS)/log >&2; echo "no compiled wheel could be built here" >&2; exit 1; \
        fi; \
    fi; \
    wanted="$$what $$(cat $(WHEELS)/stamp)"; \
fi; \
if [ "$$(cat $(VENV)/.build 2>/dev/null || echo checkout)" != "$$wanted" ]; then \
    $(PY) -m pip install -qq --disable-pip-version-check --no-deps --force-reinstall $$what; \
    echo "$$wanted" >$(VENV)/.build; \
fi
endef

# $(call run_tests,BUILD): pytest here, or, for a wheel, in a folder that has all but the source of the package. What
# pytest makes of the tests is kept for the next run, in that folder too: it takes each process some ten seconds.
define run_tests
set -eu; \
BYTEBUFS_WHEELS=$(WHEELS); export BYTEBUFS_WHEELS; unset PYTHONDONTWRITEBYTECODE; \
if [ '$(1)' = checkout ]; then \
    $(PY) -m pytest -n $(JOBS) --dist loadfile $(ARGS); \
else \
    at=$(abspath $(VENV))/tree; mkdir -p "$$at"; \
    find "$$at" -type f ! -path '*/__pycache__/*' -delete; \
    tar -cf - --exclude __pycache__ tests examples benchmarks docs *.md pyproject.toml | tar -xf - -C "$$at"; \
    cd "$$at"; \
    $(abspath $(PY)) -c 'import bytebufs, sys; \
        print("testing the", "compiled" if bytebufs.COMPILED else "pure", "build in", bytebufs.__file__); \
        sys.exit(bytebufs.COMPILED != (sys.argv[1] == "compiled"))' '$(1)'; \
    $(abspath $(PY)) -m pytest -n $(JOBS) --dist loadfile -m "not checkout" $(ARGS); \
fi
endef

# Of the suite, what `make sanitize` leaves out, and why:
#   test_install, test_builds, test_project   build and install other packages, in children that are not sanitized
#   test_benchmarks, test_leaks, test_scale   measure memory, which the sanitizer uses for itself, or need much of it
#   test_example_*, test_docs                 run programs from outside (nginx, tshark, redis), whose memory is not ours
#   test_no_memory                            the sanitizer's own allocations fail, too, and end the process
#   and two tests                             limit the address space, and expect the signal that the sanitizer catches
# Shifts are not watched: mypyc shifts negative numbers to the left, which every compiler that it knows defines.
SANITIZE = -fsanitize=address,undefined -fno-sanitize=shift -fno-omit-frame-pointer -O1 -g1
NOT_SANITIZED = install builds project benchmarks leaks scale docs no_memory
NOR = region.py::test_garbage_gives_its_memory_back_when_it_runs_out \
    region_shrunk.py::test_a_map_that_nobody_checks_ends_the_process

# $(call sanitized): random steps and the suite, on an ordinary build under the interpreter's debug allocator, and on one
# with both sanitizers. That by malloc, so that each object is watched; libstdc++ is there for numpy, which throws.
define sanitized
set -eu; at=$$(mktemp -d); trap 'rm -rf "$$at"' EXIT; py=$(abspath $(PY)); \
cp -r tests examples benchmarks docs *.md pyproject.toml "$$at"; \
build() { $$py -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --target "$$at/$$1" .; }; \
$$py -m pip install -qq --disable-pip-version-check 'setuptools>=77'; \
build ordinary; CFLAGS="$(SANITIZE)" LDFLAGS="$(SANITIZE)" build sanitized; \
cd "$$at"; \
steps="$$py -P -m tests.differential --steps $(STEPS) --seed $(SEED)"; \
suite() { "$$@" $$py -P -m pytest -n $(JOBS) -p no:cacheprovider -m "not checkout" \
    $(NOT_SANITIZED:%=--ignore=tests/test_%.py) --ignore-glob='tests/test_example_*.py' --ignore=examples \
    $(NOR:%=--deselect=tests/files/test_%) --ignore=bytebufs $(ARGS) $(or $(FILES),tests); }; \
debugged() { PYTHONPATH="$$at/ordinary:$$at" PYTHONMALLOC=debug "$$@"; }; \
watched() { \
    PYTHONPATH="$$at/sanitized:$$at" PYTHONMALLOC=malloc \
    LD_PRELOAD="$$(cc -print-file-name=libasan.so) $$(cc -print-file-name=libstdc++.so)" \
    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 "$$@"; }; \
watched $$py -P -c 'import bytebufs, sys; sys.exit(not (bytebufs.COMPILED and "/sanitized/" in bytebufs.__file__))'; \
for how in debugged watched; do \
    echo "== $(STEPS) random steps, $$how"; $$how $$steps; \
    echo "== the suite, $$how"; suite $$how; \
done
endef

# Rewrites bytecode, so each of its versions knows some Pythons; it is no extra, as the others install in every one.
ATHERIS = 'atheris==3.1.0; python_version >= "3.12"' 'atheris==3.0.0; python_version < "3.12"'

define install_atheris
set -eu; \
$(PY) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
    || { echo "atheris has wheels for Python 3.11 to 3.13, and $(VENV) has another: name one, VENV=.venv-fuzz" >&2; exit 1; }; \
$(PY) -m pip install -qq --disable-pip-version-check --only-binary atheris $(ATHERIS)
endef

# $(call fuzzed,BUILD): what is found is kept in VENV, to go on from there; what breaks a target becomes a test.
define fuzzed
set -eu; at='$(CURDIR)'; \
if [ '$(1)' != checkout ]; then \
    at=$$(mktemp -d); trap 'rm -rf "$$at"' EXIT; \
    cp -r tests examples "$$at"; \
fi; \
cd "$$at"; \
PYTHONPATH="$$at" $(abspath $(PY)) -P -m tests.fuzz --seconds $(SECONDS) --seed $(SEED) \
    --found $(abspath $(VENV))/fuzz --crashes $(CURDIR)/tests/fuzz/crashes $(TARGETS)
endef

# $(call prepare,EXTRA): an environment in VENV with this project and what its EXTRA needs. A stamp tells that it was
# done for this folder and this pyproject.toml, so the second time costs nothing.
define prepare
set -eu; \
version() { "$$1" -c 'import sys; print(*sys.version_info[:2], sep=".")' 2>/dev/null || echo none; }; \
have=$$(version $(PY)); \
if [ "$$have" = none ] || { [ -n '$(PYTHON)' ] && [ "$$have" != "$$(version '$(PYTHON)')" ]; }; then \
    python='$(PYTHON)'; \
    [ -n "$$python" ] || python=$$($(find_python)); \
    [ "$$(version "$$python")" != none ] || { echo "$$python is no Python that runs" >&2; exit 1; }; \
    echo "making $(VENV) with $$python ($$(version "$$python"))"; \
    "$$python" -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }; \
fi; \
stamp=$(VENV)/.installed-$(1); \
wanted="$(CURDIR) $$(cksum < pyproject.toml)"; \
if [ "$$(cat $$stamp 2>/dev/null || true)" != "$$wanted" ]; then \
    echo "installing what $(1) needs into $(VENV)"; \
    $(PY) -m pip install -qq --disable-pip-version-check --editable '.[$(1)]'; \
    rm -f $(VENV)/.build; \
    echo "$$wanted" > $$stamp; \
fi
endef
