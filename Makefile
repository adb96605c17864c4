# Versions of the tools, which are built or installed on first use: those of npm into .bin/,
# the linter, which takes minutes to build, into a cache that all checkouts share.
GOLANGCI_LINT_VERSION := 2.15.0
# Newer ones need a newer Go.
GORELEASER_VERSION    := 2.15.1
HELM_VERSION          := 3.22.0
ACTIONLINT_VERSION    := 1.7.12
SQLC_VERSION          := 1.31.1
SQUAWK_VERSION        := 2.66.0
STANDARDWEBHOOKS_VERSION := 1.1.1
AXE_VERSION           := 4.14.1
PRISMA_ENGINES_VERSION := 8.1.0-2.59be4fda12412a79eeb9c2ae727b6aa723593323
# What the programs of the docs are run with.
DOCS_NODE     := .bin/docs-node-2

TOOLS         := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/authsync/tools
# A linter reads no code of a Go that is newer than the one that built it.
GOLANGCI_LINT  = $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)-$(GO_VERSION)
GO_VERSION    := $(shell go env GOVERSION)
GORELEASER     = $(TOOLS)/goreleaser-$(GORELEASER_VERSION)-$(GO_VERSION)
HELM           = $(TOOLS)/helm-$(HELM_VERSION)-$(GO_VERSION)
ACTIONLINT     = $(TOOLS)/actionlint-$(ACTIONLINT_VERSION)-$(GO_VERSION)
# What takes long to build, and so is built by `make tools/sqlc` alone: the test that uses it is left out where it is missing.
SQLC           = $(TOOLS)/sqlc-$(SQLC_VERSION)-$(GO_VERSION)
SQUAWK        := .bin/squawk-$(SQUAWK_VERSION)/node_modules/.bin/squawk
# The library that receivers of webhooks use; a test lets it check what authsync signs.
STANDARDWEBHOOKS := .bin/standardwebhooks-$(STANDARDWEBHOOKS_VERSION)/node_modules/standardwebhooks/package.json
# What looks for barriers on the pages of the dashboard.
AXE           := .bin/axe-core-$(AXE_VERSION)/node_modules/axe-core/axe.min.js

# What reads the mirror with the models that authsync generates.
CLIENTS_NODE  := .bin/clients-node-2
# What builds and tests the package in clients/better-auth.
BETTER_AUTH_NODE := .bin/better-auth-1

# What signs and verifies as providers do: their own libraries.
SENDERS_NODE := .bin/senders-node-1

export PG SQLC

CLIENTS_TOOLS := $(CLIENTS_NODE)/node_modules/drizzle-kit/package.json $(BETTER_AUTH_NODE)/node_modules/typescript/package.json $(SENDERS_NODE)/node_modules/@workos-inc/node/package.json
TEST_TOOLS := $(STANDARDWEBHOOKS) $(DOCS_NODE)/node_modules/pg/package.json $(AXE) $(CLIENTS_TOOLS)

.DEFAULT_GOAL := help
.PHONY: help run build dist check test test/race test/dist test/chart test/docs test/plans test/sql test/clients test/browser docs/screenshots lint lint/sql lint/ci fmt golden verify bench bench/kill fuzz cover \
	db/up db/down db/psql migrate/new tools tools/sqlc

help: ## Show this help
	@awk 'BEGIN { FS = ":.*## " } /^[a-z\/]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Run authsync with a PostgreSQL of its own; nothing needs to be configured
	@bin/authsync dev

build: ## Build bin/authsync
	@test -e bin/authsync || echo 'Building bin/authsync: a minute or two the first time.'
	@go build -o bin/authsync ./cmd/authsync

dist: $(GORELEASER) ## Build what a release has into dist/: binaries, archives, deb, rpm, checksums
	@scripts/dist.sh $(GORELEASER) $(ARGS)

# The linter has vetted the packages: go test would do it again for each of them.
check: lint lint/sql verify ## All that a push needs
	@$(MAKE) --no-print-directory test/race ARGS="-vet=off $(ARGS)"
	@$(MAKE) --no-print-directory test/plans

test: $(TEST_TOOLS) ## Run the tests; ARGS='-run Name ./internal/pkg' for some, PG=17 on another PostgreSQL
	@scripts/test.sh $(ARGS)

test/race: $(TEST_TOOLS) ## Run the tests with the race detector
	@scripts/test.sh -race $(ARGS)

test/plans: ## Check on PostgreSQL 18, from npm, that no statement reads more than it is asked for, and that no setting of it ends one
	@PG=18 scripts/test.sh -vet=off -run 'NoPlan|Reads|TestOpen$$' ./internal/pgdb ./internal/app ./internal/dashboard ./internal/delivery/... ./internal/ingest/inbox ./internal/mirror ./internal/sync/prune

test/docs: $(TEST_TOOLS) ## Run the README and the pages of docs/ word by word
	@scripts/test.sh ./internal/testkit/docstest $(ARGS)

test/dist: $(GORELEASER) ## Build packages twice and compare; install the deb and build the image in plain roots (as root, minutes)
	@scripts/dist-test.sh $(GORELEASER)

test/chart: $(HELM) ## Check the Helm chart by the types of Kubernetes
	@scripts/chart.sh $(HELM)

lint/ci: $(ACTIONLINT) ## Check the workflows of GitHub Actions
	@$(ACTIONLINT)

test/sql: ## Check schemas, functions and views against a real PostgreSQL
	@scripts/test.sh ./internal/schema $(ARGS)

test/clients: $(CLIENTS_TOOLS) ## Use the package for Better Auth, and what is generated for the customer's code, with the tools they are for
	@REQUIRE_CLIENTS=1 scripts/test.sh ./internal/testkit/clientstest $(ARGS)

test/browser: $(AXE) ## Use the dashboard in Chromium, and look for what is wrong with its pages
	@REQUIRE_BROWSER=1 scripts/test.sh ./internal/testkit/browsertest $(ARGS)

docs/screenshots: $(AXE) ## Take the pictures of the docs anew
	@UPDATE_SCREENSHOTS=1 REQUIRE_BROWSER=1 scripts/test.sh -count=1 -run Pictures ./internal/testkit/browsertest

lint: $(GOLANGCI_LINT) ## Check the Go code
	@$(GOLANGCI_LINT) run

lint/sql: $(SQUAWK) ## Check the migrations
	@$(SQUAWK) --config .squawk.toml migrations/control/*.up.sql migrations/project/*.up.sql

fmt: $(GOLANGCI_LINT) ## Format the Go code
	@$(GOLANGCI_LINT) fmt

golden: ## Write golden files anew, and raise the revision of sql/ if it changed
	@UPDATE_GOLDEN=1 scripts/test.sh -count=1 -run 'Golden|Revision' $(ARGS)

verify: ## Check that go.mod is tidy and golden files are up to date
	@go mod tidy -diff
	@scripts/test.sh -run 'Golden|Revision' ./internal/schema

bench: ## Measure receiving, applying, reading all users and delivering; ARGS='--only apply' for a part
	@go build -o .bin/bench ./scripts/bench
	@.bin/bench $(ARGS)

bench/kill: ## Kill the process of a backfill of 200,000 users ten times, and tell its memory
	@scripts/test.sh -run NONE -bench KilledBackfill -benchtime 1x ./internal/sync/syncrun

fuzz: ## Run every fuzz test for FUZZTIME (default 30s)
	@scripts/fuzz.sh

cover: $(TEST_TOOLS) ## Measure test coverage; writes coverage/index.html
	@mkdir -p coverage
	@scripts/test.sh -coverpkg=./internal/... -coverprofile=coverage/all.out $(ARGS)
	@go tool cover -html=coverage/all.out -o coverage/index.html
	@go tool cover -func=coverage/all.out | tail -n 1

db/up: ## Start a PostgreSQL that stays: make test uses it and keeps databases of failed tests
	@go run ./scripts/pg up

db/down: ## Stop it
	@go run ./scripts/pg down

db/psql: ## Open psql on it; DB=name for one of its databases
	@go build -o .bin/pg ./scripts/pg && .bin/pg psql $(DB)

migrate/new: ## Make the files of a migration: KIND=control|project NAME=verb_object
	@scripts/new-migration.sh '$(KIND)' '$(NAME)'

tools: $(GOLANGCI_LINT) $(SQUAWK) $(TEST_TOOLS) ## Install the tools into .bin/

tools/sqlc: $(SQLC) ## Build sqlc, for the test of the code that it makes: many minutes

$(GOLANGCI_LINT):
	@echo 'Building golangci-lint $(GOLANGCI_LINT_VERSION): some minutes, once for all checkouts ($(TOOLS)).'
	@scripts/go-tool.sh 'github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(GOLANGCI_LINT_VERSION)' '$@'

$(GORELEASER):
	@echo 'Building goreleaser $(GORELEASER_VERSION): some minutes, once for all checkouts ($(TOOLS)).'
	@scripts/go-tool.sh 'github.com/goreleaser/goreleaser/v2@v$(GORELEASER_VERSION)' '$@'

$(HELM):
	@scripts/go-tool.sh 'helm.sh/helm/v3/cmd/helm@v$(HELM_VERSION)' '$@'

$(ACTIONLINT):
	@scripts/go-tool.sh 'github.com/rhysd/actionlint/cmd/actionlint@v$(ACTIONLINT_VERSION)' '$@'

$(SQLC):
	@echo 'Building sqlc $(SQLC_VERSION): many minutes, once for all checkouts ($(TOOLS)).'
	@scripts/go-tool.sh 'github.com/sqlc-dev/sqlc/cmd/sqlc@v$(SQLC_VERSION)' '$@'

$(SQUAWK):
	@scripts/npm-tool.sh squawk-$(SQUAWK_VERSION) squawk-cli@$(SQUAWK_VERSION) 'squawk, which checks the migrations'

$(STANDARDWEBHOOKS):
	@scripts/npm-tool.sh standardwebhooks-$(STANDARDWEBHOOKS_VERSION) standardwebhooks@$(STANDARDWEBHOOKS_VERSION) \
		'standardwebhooks, which checks what webhooks are signed with'

$(AXE):
	@scripts/npm-tool.sh axe-core-$(AXE_VERSION) axe-core@$(AXE_VERSION) 'axe-core, which checks the pages of the dashboard'

$(CLIENTS_NODE)/node_modules/drizzle-kit/package.json:
	@scripts/npm-tool.sh '$(notdir $(CLIENTS_NODE))' 'typescript@7.0.2 drizzle-orm@0.45.4 drizzle-kit@0.31.11 kysely@0.28.19 zod@4.6.7 pg@8.23.1 @types/pg@8.6.6 @types/node@22.20.7 @prisma/prisma-schema-wasm@$(PRISMA_ENGINES_VERSION) @prisma/schema-engine-wasm@$(PRISMA_ENGINES_VERSION) @prisma/adapter-pg@7.10.1 @prisma/driver-adapter-utils@7.10.1' \
		'what reads the mirror with generated models'

$(BETTER_AUTH_NODE)/node_modules/typescript/package.json:
	@scripts/npm-tool.sh '$(notdir $(BETTER_AUTH_NODE))' 'better-auth@1.7.7 pg@8.23.1 typescript@7.0.2 @types/node@22.20.7 standardwebhooks@$(STANDARDWEBHOOKS_VERSION) svix@1.99.1' \
		'what tests the package for Better Auth'

$(SENDERS_NODE)/node_modules/@workos-inc/node/package.json:
	@scripts/npm-tool.sh '$(notdir $(SENDERS_NODE))' '@workos-inc/node@12.3.0 @clerk/backend@3.25.0 standardwebhooks@$(STANDARDWEBHOOKS_VERSION) svix@1.99.1' \
		'what signs and verifies as providers do'

$(DOCS_NODE)/node_modules/pg/package.json:
	@scripts/npm-tool.sh '$(notdir $(DOCS_NODE))' 'sucrase@3.35.1 better-auth@1.7.7 pg@8.23.1 express@5.3.0 standardwebhooks@$(STANDARDWEBHOOKS_VERSION)' \
		'what the JavaScript and TypeScript of the docs is run with'
