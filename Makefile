# Each target does its own set-up on a fresh Linux machine (git, make and any Node.js with npm are there).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
node_bin = $$(./scripts/node)

.PHONY: help demo test check e2e cluster bench soak generate clean

help: ## Show this list
	@grep -E '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9]+):.*## /\1|/' | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'

# Not `npm ci`: the lock file names the development tools' binaries for Linux only, and `npm ci` wants every platform's.
# `--no-save` installs the locked versions, checks their digests, and leaves the lock file as it is.
node_modules/.chaperone: package-lock.json package.json scripts/node
	@bin=$(node_bin); export PATH="$$bin:$$PATH"; echo "installing packages"; npm install --no-save --loglevel=error
	@touch $@

# The page that the collector serves.
console/dist/index.html: node_modules/.chaperone console/index.html console/vite.config.ts api/src/hostile.ts $(shell find console/src -type f)
	@bin=$(node_bin); export PATH="$$bin:$$PATH"; npm run --silent build
	@touch $@

# The command line that cli/bin/chaperone runs.
.cache/program/src/main.js: node_modules/.chaperone scripts/program.ts $(shell find {api,cli,collector,evidence,kube,policy,sidecar}/src)
	@bin=$(node_bin); export PATH="$$bin:$$PATH"; node scripts/program.ts

demo: console/dist/index.html .cache/program/src/main.js ## Run the main job here, without a cluster (KEEP=1 leaves it running)
	@bin=$(node_bin); export PATH="$$bin:$$PATH"; node scripts/demo.ts $(if $(KEEP),--keep)

test: console/dist/index.html .cache/program/src/main.js ## Check types, style and arrows, then run every unit and integration test
	@bin=$(node_bin); export PATH="$$bin:$$PATH"; node scripts/test.ts

check: console/dist/index.html .cache/program/src/main.js ## Check types, lint and format only
	@bin=$(node_bin); export PATH="$$bin:$$PATH"; npm run --silent check

cluster: ## Build and start a real one-node Kubernetes here (root, Debian or Ubuntu)
	@e2e/cluster/build && e2e/cluster/up

e2e: node_modules/.chaperone ## Test on a real cluster: images, chart, an agent's pod, ways round it
	@bin=$(node_bin); export PATH="$$bin:$$PATH"; node scripts/e2e.ts

bench: node_modules/.chaperone ## Measure beside a direct connection and PgBouncer (CLUSTER=1: approvals, on a real cluster)
	@bin=$(node_bin); export PATH="$$bin:$$PATH"; node $(if $(CLUSTER),e2e/src/times/main.ts,bench/src/main.ts)

soak: node_modules/.chaperone ## Compare 20,000 generated queries per PostgreSQL version with what the server returns, run all on 14 to 17 that `make test` runs in part, run clients on 14 to 17, look at all pages in all windows, stop recorder and collector anywhere, record 10,000 sessions at once, rotate the CA for 5 minutes, restart and cut off the API server, run informers for 30, and change, restart and kill everything on a cluster for 30 (ONLY=, QUERIES=, SEED=, MINUTES=)
	@bin=$(node_bin); export PATH="$$bin:$$PATH"; ONLY="$(ONLY)" QUERIES="$(QUERIES)" SEED="$(SEED)" MINUTES="$(MINUTES)" node scripts/soak.ts

generate: node_modules/.chaperone ## Write what is generated from code: CRDs, tables of codes
	@bin=$(node_bin); export PATH="$$bin:$$PATH"; npm run --silent generate

clean: ## Remove what was built or installed here
	rm -rf node_modules .tools .cache */dist
