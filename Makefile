# make demo and make test do all the set-up on a fresh machine (Python 3.11 or later, no database, no compiler needed).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := .venv-peers
PEERS_STAMP := $(PEERS)/.installed

.DEFAULT_GOAL := help
.PHONY: help venv demo gpaw test test-slow test-hpc check docs bench bench-size soak clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/'

# torch first and from its own line: a plain "torch" would bring gigabytes of CUDA that nothing here needs.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	-@$(BIN)/pip uninstall --quiet --yes --disable-pip-version-check agd 2>/dev/null  # our former name, or a stranger's
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

venv: $(STAMP)  ## make the environment: .venv/bin/agd

demo: $(STAMP)  ## import the starter set, train, run a small campaign, explain its best find
	AGD_HOME=$(CURDIR)/.agd-demo $(BIN)/agd demo

gpaw: $(STAMP)  ## build GPAW into the environment: calculations from first principles (a C++ compiler, half a minute)
	GPAW_CONFIG=$(CURDIR)/install/gpaw_siteconfig.py $(BIN)/pip install --quiet --disable-pip-version-check --no-cache-dir \
		--constraint constraints.txt $$(grep '^gpaw' constraints.txt)

# Two workers: one for each core of a small machine; the slow tests often wait for a kill, a lease or a server.
test: $(STAMP)  ## run the tests
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(STAMP)  ## run the tests that take minutes: FireWorks' own, kills, a machine lost, an autoencoder on real data
	$(BIN)/pytest -n 3 --dist loadfile -m slow

browser:  ## install Chromium for the tests of pages, where there is none (root on Debian)
	command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }

test-hpc: $(STAMP)  ## let a real Slurm of one node work a campaign (root on Debian: installs it), a few minutes
	$(BIN)/python tests/hpc/slurm_node.py $(BIN)/pytest tests/hpc

check: $(STAMP)  ## format, lint, types, layers, schema
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/tools/alembic_check.py

docs: $(STAMP)  ## build the documents into site/: open site/index.html through `python3 -m http.server -d site`
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

KILLS := 1000
soak: $(STAMP)  ## kill campaigns, workers and servers at random moments, compare the rows (KILLS=1000)
	for n in '' 1 2 4; do $(BIN)/python tests/soak/kill_campaign.py $${n:+--thread-variable $$n} || exit 1; done
	$(BIN)/python tests/soak/kill_workers.py --kills $(KILLS)

# Other libraries that the benchmarks compare with; some need older versions of ours, so they live apart.
$(PEERS_STAMP): tests/bench/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

bench: $(STAMP) $(PEERS_STAMP)  ## print the measured ratios (needs the real data, see README)
	for script in tests/bench/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

MILLIONS := 1
bench-size: $(STAMP)  ## fill a record with made rows and time every verb and question (MILLIONS=1 of each kind, about 15 minutes)
	$(BIN)/python tests/bench/size_of_record.py --millions $(MILLIONS) --plans slow.plans

clean:  ## remove what the other targets made
	rm -rf $(VENV) $(PEERS) .agd-demo build dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
