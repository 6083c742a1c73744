# Every target does its own set-up: a virtual environment in .venv with the versions of constraints.txt.
# Another interpreter: make test PYTHON=python3.12
PYTHON ?= python3

PIP_INSTALL = .venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.PHONY: help quickstart test test-all lint format pictures constraints clean

help:
	@echo "make quickstart   a whole sweep on real text (about five minutes on two cores)"
	@echo "make test         the fast tests"
	@echo "make test-all     every test, the slow ones included"
	@echo "make lint         ruff and mypy"
	@echo "make format       let ruff rewrite what it can"
	@echo "make pictures     the pictures of the documentation, from the quickstart's sweep"
	@echo "make constraints  write what is installed now to constraints.txt"
	@echo "make clean        remove .venv and the tools' caches"

quickstart: .venv/.quickstart
	.venv/bin/transfersweep run quickstart

test: .venv/.dev
	.venv/bin/pytest -m "not slow" --numprocesses 2 --dist loadfile --durations 15

test-all: .venv/.dev
	.venv/bin/pytest

lint: .venv/.dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: .venv/.dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

pictures: .venv/.dev
	PYTHONPATH=. .venv/bin/python docs/pictures.py

# The header stays; editable and local builds (+cpu) are not for others.
constraints: .venv/.all
	{ sed -n '/^#/p' constraints.txt; .venv/bin/pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//' | sort -f; } > .venv/constraints.txt
	mv .venv/constraints.txt constraints.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The files below are stamps: installing again happens only when one of their prerequisites has changed.
.venv/.quickstart: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is %d.%d; name another: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	@echo "Installing into .venv: a few minutes the first time"
	$(PIP_INSTALL) ".[quickstart]"
	@touch $@

.venv/.dev: .venv/.quickstart
	$(PIP_INSTALL) ".[quickstart,onnx,test,dev,benchmarks]"
	@touch $@

.venv/.all: .venv/.dev
	$(PIP_INSTALL) ".[quickstart,onnx,cluster,test,dev,benchmarks]"
	@touch $@
