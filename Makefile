.PHONY: help run stop reset logs demo check coverage test test-packages test-containers test-clusters bench faults clusters mutants simulate model lint setup python-packages debian-packages api-check clients audit notices sbom package release-check
.DEFAULT_GOAL := help
# The runner stops when make is killed, however that happens.
RUN := setpriv --pdeathsig TERM .venv/bin/python -m

# Hundreds of processes start, each of which would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# Test files in parallel, each process with private servers; two per core, as half of the time is waiting.
SIDE_BY_SIDE := $(if $(DATABASE_URL)$(AMQP_URL)$(REDIS_URL),,-n $(shell expr 2 '*' $$(nproc)) --no-loadscope-reorder)

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 \t/p' Makefile

run: setup ## start the system in the foreground; Ctrl-C stops it
	@$(RUN) local.runner

stop: setup ## stop the system from another terminal
	@.venv/bin/python -m local.runner stop

reset: setup ## delete data, passwords and logs
	@.venv/bin/python -m local.runner reset

logs: ## follow all logs
	@tail -n 20 -F "$${LEADLINE_STATE:-.local}"/logs/*.log

demo: setup ## follow one user from HTTP to its lead
	@$(RUN) local.demo

check: setup ## lint, types, unit tests and changed test files: run before each commit
	@scripts/check

test-packages: setup
	@scripts/browser
	@scripts/packages prometheus spin gcc
	@scripts/actionlint

test: test-packages ## run every test on private servers
	@.venv/bin/python -m compileall -q leadline emulator local functions migrations # hundreds of processes start
	@$(RUN) pytest $(SIDE_BY_SIDE) --junitxml build/test-times.xml -o junit_duration_report=call

test-containers: setup ## test the images and the compose system; needs a Docker Engine with Compose
	@$(RUN) pytest -m containers --timeout 1500 -n 2 --no-loadscope-reorder tests/containers # two systems

bench: setup ## measure against baselines; QUICK=1 to try it, SECTIONS="writes burst" for parts
	@scripts/packages wrk
	@$(RUN) benchmarks $(if $(QUICK),--quick) $(SECTIONS)

faults: setup ## random faults for MINUTES (10), starting at SEED; SEED alone repeats one round
	@scripts/packages faketime
	@$(RUN) tests.faults.lab $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

test-clusters: setup ## a round of faults on clusters of servers; needs Linux and root
	@$(RUN) tests.clusters.lab --seed 1052 --seconds 40

clusters: setup ## random faults on clusters for MINUTES (10), starting at SEED; SEED alone repeats one round; FAULT=... one alone; DRAIN=10000 users while nodes are gone
	@$(RUN) tests.clusters.lab $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(FAULT),--fault $(FAULT)) $(if $(DRAIN),--drain $(DRAIN)) $(if $(ASYNCHRONOUS),--asynchronous)

coverage: setup ## the branches that no quick unit, integration or emulator test takes
	@rm -rf build/coverage && mkdir -p build/coverage
	@$(RUN) coverage run -m pytest $(SIDE_BY_SIDE) -q -m "not slow and not long" tests/unit tests/integration tests/emulator
	@$(RUN) coverage combine -q && $(RUN) coverage report

mutants: setup ## break the code on purpose: tests must fail, see tests/mutations/README.md
	@$(RUN) tests.mutations
	@$(RUN) tests.mutations.score

simulate: setup ## run SEEDS (1000) histories under virtual time, FROM a seed (1); SEED prints one
	@$(RUN) tests.simulation $(if $(SEEDS),--seeds $(SEEDS)) $(if $(FROM),--from $(FROM)) $(if $(SEED),--seed $(SEED))

model: ## check the model of the rules in every order (docs/model)
	@scripts/packages spin gcc
	@scripts/model
	@scripts/model -DCALM -DWRITES=2 -DMESSAGES=1

api-check: setup ## search for calls of a running system (URL) that violate its OpenAPI document; API_KEY=...
	@SCHEMATHESIS_HOOKS=tests/e2e/schemathesis_hooks.py .venv/bin/schemathesis --config-file tests/e2e/schemathesis.toml run $(or $(URL),http://127.0.0.1:3000)/openapi.json \
	  --max-examples $(or $(EXAMPLES),300)

clients: setup ## generate the API's clients for Python and TypeScript again; needs Node.js
	@scripts/clients

audit: ## known vulnerabilities of packages in the images; needs uv and PyPI's advisories
	@uvx pip-audit --strict --disable-pip --require-hashes --requirement requirements/run.txt

notices: setup ## rewrite THIRD-PARTY.md and the phones' numbering plans after a change of the lock
	@.venv/bin/python requirements/bill.py notices > THIRD-PARTY.md
	@.venv/bin/python requirements/numbering_plans.py

sbom: setup ## bill of materials of the images: build/sbom.cdx.json
	@mkdir -p build && .venv/bin/python requirements/bill.py sbom > build/sbom.cdx.json

package: setup ## the Python package of command line and emulator: build/dist
	@scripts/package

release-check: setup ## what a release of this checkout would be; fails if something is missing
	@.venv/bin/python -m local.release check

lint: setup ## style, types, direction of imports
	@scripts/lint

setup:
	@scripts/venv create # may need a package of Debian, too
	@$(MAKE) --no-print-directory -j2 python-packages debian-packages

python-packages:
	@scripts/venv

debian-packages:
	@scripts/packages
