# kycq: `make` lists the targets. Go, git and make are enough; `make test` and `make lint` fetch what else they need.

VERSION ?= $(shell git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git -c safe.directory='*' rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

# The packages of test and bench, and further arguments: make test PKG=./storage/... ARGS='-run Swap -v'
PKG  ?= ./...
ARGS ?=

# The commit is stamped by -ldflags. Go's own stamping would fail in a checkout that belongs to another user.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

.DEFAULT_GOAL := help
.PHONY: help demo build test lint bench bench-gate soak mutants fmt clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: build ## run an end-to-end demo with invented data, everything embedded (under 30 s)
	bin/kycq-dev demo

build: ## build bin/kycq and bin/kycq-dev
	CGO_ENABLED=0 go build -trimpath -ldflags '-X main.version=$(VERSION) -X main.commit=$(COMMIT)' -o bin/ ./cmd/kycq ./cmd/kycq-dev

test: ## run all tests with the race detector, a real Redis and a real MinIO (PKG=, ARGS=)
	scripts/test.sh $(ARGS) $(PKG)

lint: ## check format, import rules, code and secrets
	scripts/lint.sh

bench: ## run the benchmarks (PKG=, ARGS=)
	scripts/with-servers.sh go test -run '^$$' -bench . -benchmem -timeout 30m $(ARGS) $(PKG)

bench-gate: ## measure how much of the vendor's rate a fleet uses, and its 429s (about 15 minutes; ARGS=)
	scripts/tools.sh redis >/dev/null && go run ./cmd/kycq-dev gatebench $(ARGS)

soak: ## run the long fault tests (up to 20 minutes)
	KYCQ_SOAK=1 scripts/test.sh -count=1 -timeout 40m -v -run Soak $(ARGS) $(PKG)

mutants: ## leave out one precaution at a time and expect red tests (docs/FAULTS.md; about 30 minutes)
	scripts/with-servers.sh scripts/mutants.sh $(ARGS)

fmt: ## format the code
	"$$(scripts/tools.sh gofumpt)"/gofumpt -w .

clean: ## remove what the targets made in the tree (the tools stay in their cache)
	rm -rf bin dist kycq-demo
