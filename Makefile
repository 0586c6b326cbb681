# `make demo` and `make test` are each complete on a machine that has only Python, make and a network.
#
#   VENV=.venv-3.12     another environment
#   PYTHON=python3.12   another interpreter (an environment that was made with a different one is made anew)
#   ARGS='-k take -x'   more arguments for pytest, or for the demo
#   JOBS=0              pytest in one process; a number or `auto` for that many at a time

VENV ?= .venv
JOBS ?= auto
CAPTURE ?= examples/captures/loopback.pcap
PY = $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo test long cover check format bench docs clean

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: ## show the HTTP messages of a packet capture, put together without a copy
	@$(call prepare,examples)
	$(PY) -m examples.http_reassembly $(CAPTURE) $(ARGS)

test: ## run the whole suite
	@$(call prepare,test)
	$(PY) -m pytest -n $(JOBS) $(ARGS)

long: ## run the suite with hypothesis searching for hours
	@$(call prepare,test)
	BYTEBUFS_PROFILE=long $(PY) -m pytest -n $(JOBS) $(ARGS)

cover: ## demand that each module is covered, branches too, by its own test file
	@$(call prepare,test)
	$(PY) -m tests.cover_by_module $(ARGS)

check: ## ruff, and mypy --strict over package, tests and examples
	@$(call prepare,check)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: ## let ruff lay out the code and mend what it can
	@$(call prepare,check)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: ## measure both builds against their rivals, keep the results, write docs/performance.md
	@$(call prepare,bench)
	set -e; at=$$(mktemp -d); trap 'rm -rf "$$at"' EXIT; \
	    $(PY) -m pip install -qq --disable-pip-version-check --no-deps --target "$$at" .; \
	    cp -r benchmarks "$$at"; \
	    (cd "$$at" && $(abspath $(PY)) -m benchmarks --json $(CURDIR)/benchmarks/results $(ARGS))
	$(PY) -m benchmarks --json benchmarks/results $(ARGS)
	$(PY) -m benchmarks._page

docs: ## build the documentation into site/
	@$(call prepare,docs)
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

clean: ## remove all that make and .ci/run have made
	rm -rf .venv .venv-* .ci-cache build dist site htmlcov *.egg-info
	rm -rf .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find bytebufs tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# Print the newest interpreter that works, of those the suite is run on first. Each is tried, not trusted: a pyenv shim
# may stand for a version that is switched off, and Debian's python3 has no ensurepip before python3-venv is there.
define find_python
for version in 3.13 3.12 3.11 3; do \
    for python in python$$version "$$HOME"/.pyenv/versions/$$version.*/bin/python3; do \
        if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
            command -v "$$python"; exit 0; \
        fi; \
    done; \
done; \
echo "no usable Python >= 3.11 found (on Debian: apt install python3-venv); name one with PYTHON=/path/to/python3" >&2; \
exit 1
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
    echo "$$wanted" > $$stamp; \
fi
endef
