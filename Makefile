# `make` lists the targets. They need Go, git and make; scripts/tools.sh installs other tools if they are missing.

VERSION ?= $(shell git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git -c safe.directory='*' rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

# Packages and further arguments of test and bench: make test PKG=./storage/... ARGS='-run Swap -v'
PKG  ?= ./...
ARGS ?=

# -ldflags stamps the commit. Go's own stamping fails in a checkout that belongs to another user.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

.DEFAULT_GOAL := help
.PHONY: help demo build test test-all test-deploy dist lint bench bench-gate bench-compare soak mutants fmt clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: build ## run an end-to-end demo with invented data, everything embedded (under 30 s)
	bin/kycq-dev demo

build: ## build bin/kycq and bin/kycq-dev
	CGO_ENABLED=0 go build -trimpath -ldflags '-X main.version=$(VERSION) -X main.commit=$(COMMIT)' -o bin/ ./cmd/kycq ./cmd/kycq-dev

test: ## run all tests with the race detector, a real Redis and a real MinIO (PKG=, ARGS=)
	scripts/test.sh $(ARGS) $(PKG)

test-all: ## everything that is run before a release: lint, test, mutants, soak, upgrades, bench (about an hour)
	$(MAKE) lint
	scripts/lint-api.sh
	$(MAKE) test
	$(MAKE) test-deploy
	$(MAKE) mutants
	$(MAKE) soak
	KYCQ_UPGRADE=1 scripts/with-servers.sh go test -count=1 -timeout 30m -v -run Upgrade ./internal/faults
	KYCQ_TEST_MASK_CARDS=200 KYCQ_TEST_QR_CARDS=200 go test -count=1 -timeout 60m -run 'Masks|Find|Codes' ./internal/maskcheck ./internal/qr
	$(MAKE) bench ARGS='-benchtime 1x'

test-deploy: ## run the alerts in Prometheus, the chart in Helm, and the example clients, where these can be had
	KYCQ_TEST_TOOLS="$$(scripts/tools.sh promtool helm tsx)" scripts/with-servers.sh go test -count=1 -v -run 'Alert|Chart|ExampleClients' ./internal/e2e ./deploy

dist: ## build the archives of a release for three targets into dist/ (ARGS=--twice: build twice and compare)
	scripts/dist.sh "$(VERSION)" "$(COMMIT)" $(ARGS)

lint: ## check format, code, go.mod and secrets
	scripts/lint.sh

bench: ## run the benchmarks (PKG=, ARGS=)
	scripts/with-servers.sh go test -run '^$$' -bench . -benchmem -timeout 30m $(ARGS) $(PKG)

bench-gate: ## measure the used share of the rate limit and the 429s of a fleet (about 15 minutes; ARGS=)
	scripts/tools.sh redis >/dev/null && go run ./cmd/kycq-dev gatebench $(ARGS)

bench-compare: ## measure kycq beside a plain asynq worker (bench/README.md; about 20 minutes; ARGS=)
	scripts/with-servers.sh go run ./bench $(ARGS)

soak: ## run the long fault tests, and judge how soon calls go on (up to 20 minutes)
	KYCQ_SOAK=1 scripts/test.sh -count=1 -timeout 40m -v -run 'Soak|TestRedis|TestS3Down' $(ARGS) $(PKG)

mutants: ## remove one precaution at a time and expect failing tests (docs/FAULTS.md; about 20 minutes; ARGS=)
	KYCQ_MUTANTS=1 scripts/with-servers.sh go test -count=1 -timeout 2h -parallel 4 -v -run TestMutants $(ARGS) ./internal/faults/mutants

fmt: ## format the code
	"$$(scripts/tools.sh gofumpt)"/gofumpt -w .

clean: ## remove the output of the targets (tools stay in their cache)
	rm -rf bin dist kycq-demo
