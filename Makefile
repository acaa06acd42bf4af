# Two commands, each enough on a fresh machine with python3 (3.11 to 3.13) and make:
#   make train    set up, then train the first network
#   make test     set up, then every check and test
PYTHON ?= python3
PIP = .venv/bin/python -m pip --disable-pip-version-check --quiet

.PHONY: train test format docs clean

train: .venv/train.stamp
	.venv/bin/python -m nnlab train model=mlp optim=adam

test: .venv/test.stamp
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/python -m pytest -n auto --maxprocesses=8 --dist=loadfile

format: .venv/test.stamp
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

docs: .venv/test.stamp
	.venv/bin/python scripts/docs.py

clean:
	rm -rf .venv dist .pytest_cache .mypy_cache .ruff_cache

.venv/bin/python:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"nnlab needs Python 3.11, 3.12 or 3.13; this is {v[0]}.{v[1]}: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

.venv/train.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e .
	touch $@

.venv/test.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e '.[dev]'
	touch $@ .venv/train.stamp
