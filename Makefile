## Anisotropy: when do adaptive gradient methods beat SGD, and what has the batch size to do with it?
##
## Targets (each sets up .venv first where it is needed):

# Variables given to make (DATA_DIR, MODEL_DIR, TORCH_INDEX, ...) reach every command through its environment.
PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/python -m
STAMP := .venv/.stamp
arguments = $(if $(PAPER),'paper=$(PAPER)') $(if $(SCALE),'scale=$(SCALE)') $(if $(CLAIM),'claim=$(CLAIM)') \
	$(if $(SETTINGS),'settings=$(SETTINGS)') $(if $(PLAN),plan=true) \
	$(if $(LOGGER),'logger=$(LOGGER)')
# What `make clean` removes; all of it is ignored by git.
leftovers = $(wildcard .cache outputs multirun results/local .mypy_cache .pytest_cache .ruff_cache \
	.import_linter_cache)
bytecode = find . \( -name .git -o -name .venv -o -name results \) -prune -o -name __pycache__

.DEFAULT_GOAL := help
.PHONY: help setup reproduce-paper report reference sweep data dashboard export test test-all lint format bench clean lock

# An environment without its Python, or made before the clone was moved or copied, is out of date whatever its age.
ifneq ($(wildcard $(BIN)/python)$(shell head -n 1 $(STAMP) 2>/dev/null),$(BIN)/python$(CURDIR))
.PHONY: $(STAMP)
endif

$(STAMP): requirements.lock
	@command -v "$(PYTHON)" >/dev/null || { echo 'There is no $(PYTHON): add PYTHON=<path to Python 3.11 to 3.13>.' >&2; exit 1; }
	@"$(PYTHON)" scripts/setup.py

help:
	@awk '/^## ?/ { sub(/^## ?/, ""); print } \
		match($$0, /^[a-z-]+:.* ## /) { split($$0, part, /:.* ## /); printf "  make %-16s %s\n", part[1], part[2] }' Makefile

setup: $(STAMP) ## make .venv from requirements.lock

reproduce-paper: $(STAMP) ## make the papers' runs that are missing, judge the claims, compare with the reference
	@$(RUN) experiments.reproduce $(arguments)

report: $(STAMP) ## judge the claims and draw the figures from the runs there are
	@$(RUN) experiments.reproduce $(arguments) report=true

reference: $(STAMP) ## write the committed references in results/, from a clean commit (maintainers)
	@set -e; for scale in $(or $(SCALE),laptop workstation); do \
		$(RUN) experiments.reproduce $(filter-out 'scale=%,$(arguments)) scale=$$scale reference=true; done

sweep: $(STAMP) ## a Hydra multirun of your own: make sweep ARGS="task=... optimizer=sgd,adam"
	@$(if $(ARGS),,echo 'Say what to sweep: make sweep ARGS="task=logistic/a9a optimizer=sgd,adagrad,adam lanes.lr=[0.01,0.1,1]"' >&2; exit 1)
	@set -f; $(RUN) experiments.run -m $(ARGS)

data: $(STAMP) ## fetch the real data sets and verify them; SETS="libsvm/a9a libsvm/a4a" fetches some
	@$(RUN) data.fetch $(if $(SETS),--sets $(SETS))

dashboard: $(STAMP) ## look at the curves in the terminal; STORE=folder has other runs than results/runs
	@$(RUN) experiments.dashboard $(if $(STORE),'store=$(STORE)')

export: $(STAMP) ## write the runs as W&B runs; ARGS="mode=online entity=me" publishes them
	@$(RUN) experiments.export $(if $(STORE),'store=$(STORE)') $(ARGS)

test: $(STAMP) ## the tests, without the slow ones
	@$(RUN) pytest -n 2 -m "not slow"

test-all: $(STAMP) ## all tests
	@$(RUN) pytest -n 2

lint: $(STAMP) ## formatting, lint, types and the import rules; every check runs, whichever fails
	@status=0; \
	$(BIN)/ruff format --check . || status=1; \
	$(BIN)/ruff check . || status=1; \
	$(BIN)/mypy || status=1; \
	PYTHONPATH=. $(BIN)/lint-imports --no-logo --cache-dir .cache/import-linter || status=1; \
	exit $$status

format: $(STAMP) ## format the code and mend what the linter can
	@$(BIN)/ruff check --fix . || true
	@$(BIN)/ruff format .

bench: $(STAMP) ## time lanes against plain loops (sparse ones with DATA_DIR), Hessian products, gradient statistics, scalar Adam
	@$(RUN) benchmarks.lanes
	@$(if $(DATA_DIR),$(RUN) benchmarks.sparse)
	@$(RUN) benchmarks.hessian_products
	@$(RUN) benchmarks.statistics
	@$(RUN) benchmarks.adaptive_steps
	@$(RUN) benchmarks.scalar_adam

clean: ## list and remove caches and results/local (the runs in results/runs are kept)
	@$(bytecode) -print | sed 's/^/removes /'
	@$(if $(leftovers),du -sh $(leftovers) | sed 's/^/removes /')
	@$(bytecode) -prune -exec rm -rf {} +
	@rm -rf $(leftovers)

lock: ## resolve requirements.in into requirements.lock
	@"$(PYTHON)" scripts/lock.py

##
## Variables:
##   PAPER=adagrad-anisotropic  one paper (reproduce-paper, report)
##   SCALE=laptop               smoke, laptop, workstation or paper
##   CLAIM=A4                   one claim
##   SETTINGS=mine.yaml         settings that replace our guesses at a paper's
##   LOGGER=wandb               write the reported runs, verdicts and figures as W&B runs (reproduce-paper, report)
##   PLAN=1                     only say which runs there are, how many are done, and what the rest takes
##   DATA_DIR=, MODEL_DIR=      folders with data sets and weights, for machines without a network
##   TORCH_INDEX=               the wheel index that torch's build comes from (setup, lock)
##   PYTHON=python3.12          the Python, 3.11 to 3.13, that .venv is made with
