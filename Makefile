# The two commands that matter are `make demo` and `make test`. Both install what they need into .venv and can be repeated.
# `make help` lists the rest.

PYTHON := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export NO_COLOR := 1
export ANSIBLE_LOCALHOST_WARNING := False
export ANSIBLE_HOME := $(CURDIR)/.venv/ansible-home
# The collection under test is this checkout, through the link in .venv: no other copy may win over it.
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.venv/collections

.PHONY: help demo test setup-demo setup-dev setup-test lint sanity unit integration docs matrix bench release clean

help:
	@echo 'make demo         see it work: no AWS account, no root, no Docker'
	@echo 'make test         install what the tests need and run all of them'
	@echo 'make lint         ruff, mypy, yamllint, ansible-lint, changelog, galaxy-importer'
	@echo 'make sanity       ansible-test sanity'
	@echo 'make unit         unit tests with coverage'
	@echo 'make integration  tests against the loopback cloud, Docker Engine included'
	@echo 'make docs         check the documentation and build it as HTML'
	@echo 'make matrix       unit tests and the artefact, on the oldest and the newest versions that are supported'
	@echo 'make bench        measure speed against peers'
	@echo 'make release VERSION=1.2.3   version, changelog, tag and artefact, in this checkout'
	@echo 'make clean        remove everything that was installed or built here'

demo: setup-demo
	@$(PYTHON) demo/demo.py

test: setup-test lint sanity unit integration docs matrix
	@echo 'All tests passed.'

setup-demo:
	@tools/setup.sh demo

setup-dev:
	@tools/setup.sh dev

setup-test:
	@tools/setup.sh test

lint: setup-dev
	@tools/lint.sh

sanity: setup-dev
	@tools/sanity.sh

unit: setup-dev
	@echo '== Unit tests, with the coverage of plugins/'
	@$(PYTHON) -m pytest tests/unit --numprocesses 2 --cov --cov-report=term --cov-fail-under=90

integration: setup-test
	@echo '== Integration tests on the loopback cloud'
	@$(PYTHON) -m pytest tests/integration --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 15

docs: setup-dev
	@tools/docs.sh

matrix: setup-dev
	@tools/matrix.sh lowest highest

bench: setup-dev
	@echo '== Benchmarks'
	@$(PYTHON) bench/run.py

release: setup-dev
	@tools/release.sh '$(VERSION)'

clean:
	@rm -rf .venv build .ansible .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
