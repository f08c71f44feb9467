# make demo   the main job          make test   everything that must pass
# Both prepare .venv by themselves, once, and again when setup.cfg changes. PYTHON=/path/to/python chooses the Python.

BIN := .venv/bin
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help demo test lint check kernels docs bench coverage release fem slurm clean distclean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

.venv/.ready: setup.cfg pyproject.toml
	@tools/set-up

demo: .venv/.ready  ## the gap of the double well against the learning rate: table, results/double-well.nc, .png
	@mkdir -p results
	@echo "compiling kernels (once)"; $(BIN)/witten warm gap
	$(BIN)/witten gap double-well --lr 0.02:0.5:12 -o results/double-well.nc --plot results/double-well.png

test: check  ## the tests, lint, and the documentation
	@$(MAKE) --no-print-directory --jobs=2 $(if $(filter output-sync,$(.FEATURES)),--output-sync) lint docs

lint: .venv/.ready  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

kernels: .venv/.ready
	@# once, two processes at a time: tests that run side by side would all compile the same
	@printf '%s\n' 'gap spectrum theory chain' 'simulate descend bifurcate risk' | xargs -P 2 -L 1 $(BIN)/witten warm

check: .venv/.ready kernels slurm  ## the tests alone, three at a time (ARGS="-k name" passes options to pytest)
	@# bytecode is kept whatever the environment says: the tests start hundreds of processes, on ranks pytest itself
	PYTHONDONTWRITEBYTECODE= OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

docs: .venv/.ready  ## the documentation, in build/site; a warning is an error
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -q -W --keep-going -b html docs build/site

bench: .venv/.ready  ## every benchmark at full size
	@for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

coverage: .venv/.ready  ## the tests with a report of the lines they miss
	$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage report

release: .venv/.ready  ## archive and wheel in dist/, tried outside the checkout
	$(BIN)/python tools/check-release --dist dist

fem:  ## try again to install finite elements and MPI
	@rm -f .venv/.ready
	@tools/set-up

slurm:  ## install Slurm for its tests where that can be done (Debian, Ubuntu, as root); else say what to do
	@tools/slurm install

clean:  ## remove results and caches
	rm -rf results build dist htmlcov .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find witten tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean  ## and .venv
	rm -rf .venv witten.egg-info
