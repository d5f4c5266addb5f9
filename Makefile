.PHONY: help run stop reset logs demo check test test-containers bench faults mutants simulate model lint setup api-check audit notices sbom
.DEFAULT_GOAL := help
# The runner stops when make is killed, however that happens.
RUN := setpriv --pdeathsig TERM .venv/bin/python -m

# Test files side by side, each process with private servers; two a core, as half of the time is waiting.
SIDE_BY_SIDE := $(if $(DATABASE_URL)$(AMQP_URL)$(REDIS_URL),,-n $(shell expr 2 '*' $$(nproc)) --dist loadgroup --no-loadscope-reorder)

help: ## what there is to do
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 \t/p' Makefile

run: setup ## start everything and stay in the foreground; Ctrl-C stops it
	@$(RUN) local.runner

stop: setup ## stop what `make run` started, from another terminal
	@.venv/bin/python -m local.runner stop

reset: setup ## forget everything: data, passwords, logs
	@.venv/bin/python -m local.runner reset

logs: ## follow all logs
	@tail -n 20 -F "$${LEADLINE_STATE:-.local}"/logs/*.log

demo: setup ## follow one user from HTTP to its lead
	@$(RUN) local.demo

check: setup ## lint, types, unit tests and the test files that were changed: for each commit
	@scripts/check

test: setup ## every test, on private servers of its own
	@scripts/browser
	@scripts/packages prometheus spin gcc
	@$(RUN) pytest $(SIDE_BY_SIDE)

test-containers: setup ## the images and the compose system; needs a Docker Engine with Compose
	@$(RUN) pytest -m containers --timeout 1500 tests/containers

bench: setup ## measure against baselines; QUICK=1 to try it, SECTIONS="writes burst" for parts
	@scripts/packages wrk
	@$(RUN) benchmarks $(if $(QUICK),--quick) $(SECTIONS)

faults: setup ## random faults for MINUTES (10), from SEED on, or one round again with SEED alone
	@scripts/packages faketime
	@$(RUN) tests.faults.lab $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

mutants: setup ## break the code on purpose: tests must notice, see tests/mutations/README.md
	@$(RUN) tests.mutations
	@$(RUN) tests.mutations.score

simulate: setup ## play SEEDS (1000) histories under virtual time, FROM a seed (1) on, or tell one by SEED
	@$(RUN) tests.simulation $(if $(SEEDS),--seeds $(SEEDS)) $(if $(FROM),--from $(FROM)) $(if $(SEED),--seed $(SEED))

model: ## search the model of the rules in every order (docs/model)
	@scripts/packages spin gcc
	@scripts/model
	@scripts/model -DCALM -DWRITES=2 -DMESSAGES=1

api-check: setup ## look long for a call of URL (a system that runs) that breaks the API's document; API_KEY=...
	@SCHEMATHESIS_HOOKS=tests/e2e/schemathesis_hooks.py .venv/bin/schemathesis --config-file tests/e2e/schemathesis.toml run $(or $(URL),http://127.0.0.1:3000)/openapi.json \
	  --max-examples $(or $(EXAMPLES),300)

audit: ## known holes in what images install; needs uv and PyPI's own advisories
	@uvx pip-audit --strict --disable-pip --require-hashes --requirement requirements/run.txt

notices: setup ## THIRD-PARTY.md anew, after the lock has changed
	@.venv/bin/python requirements/bill.py notices > THIRD-PARTY.md

sbom: setup ## the bill of materials of what images install: build/sbom.cdx.json
	@mkdir -p build && .venv/bin/python requirements/bill.py sbom > build/sbom.cdx.json

lint: setup ## everything that is checked without running
	@scripts/lint

setup:
	@scripts/venv
	@scripts/packages
