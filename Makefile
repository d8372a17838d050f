# make help lists the targets.
SHELL    := bash -o pipefail
GO       ?= go
NODES    ?= 3
SOR      ?= --rows 2048 --cols 1536 --iterations 1000
T        ?= 10m
# Real processes with real userfaultfd: where it is missing, tests fail.
REAL     := MOME_REQUIRE_UFFD=1
# The go command's own ten minutes are too few for a busy machine; a test that
# hangs ends by its own deadline.
export GOFLAGS := $(GOFLAGS) -timeout=60m
# Packages whose tests start clusters: one at a time.
CLUSTERS := ./e2e/... ./cmd/... ./impl/bench/...
PURE     := $(shell $(GO) list ./... 2>/dev/null | grep -v -e /e2e -e /cmd/ -e /impl/bench -e /trace/validate)
# Packages without a goroutine of their own (TestNoConcurrency): the race detector
# has nothing to find there, and takes six times the time.
SERIAL   := ./fuzz ./impl/coverage ./impl/explore ./impl/protocol ./impl/sim ./linearizability
THREADS  := $(filter-out $(shell $(GO) list $(SERIAL) 2>/dev/null),$(PURE))

.PHONY: help build run test check unit race clusters race-clusters spec spec-nightly explore mutants validate replay histories recorded coverage fuzz fuzz-short bench nightly install generate clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

build: bin/momenode bin/sor bin/is bin/matmul ## the command and the examples, in bin/

bin/momenode: FORCE
	@$(GO) build -o $@ ./cmd/momenode
bin/%: FORCE
	@$(GO) build -o $@ ./examples/$*
FORCE:

run: build ## a cluster of real processes that runs red-black SOR and verifies it
	bin/momenode cluster --nodes $(NODES) -- bin/sor $(SOR) --stats

test: install ## every check and every test
	@scripts/test check unit race explore mutants clusters validate replay histories coverage fuzz-short

install: ## the Debian packages that tests need
	@scripts/install ip:iproute2 protoc:protobuf-compiler java:default-jre-headless mvn:maven cc:build-essential clang:clang clang:libclang-rt-dev z3:z3

check: ## formatting, vet, staticcheck, generated files, go.mod
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	$(GO) vet ./...
	scripts/mutated $(GO) vet -tags invariants,mutants ./...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff
	@scripts/generated

generate: install ## the files that protoc makes
	$(GO) generate ./...

unit: ## tests of single packages
	$(REAL) $(GO) test $(PURE)

race: ## the same with invariants on, and under the race detector where there are goroutines
	$(REAL) $(GO) test -race $(THREADS)
	$(GO) test -tags invariants $(SERIAL)

mutants: install ## deliberate bugs in the core, the shell and the memory layer: which check finds which, by the committed tables
	@scripts/mutants

clusters: ## tests that start clusters of real processes, but for the one that recorded runs
	$(REAL) $(GO) test -p 1 -skip '^TestCoverage$$' $(CLUSTERS)

race-clusters: ## end-to-end tests with daemons and programs under the race detector, invariants on
	$(REAL) $(GO) test -race -timeout 60m ./e2e

validate: install build recorded ## recorded runs through the specification, by TLC, and runs that it must refuse
	@scripts/validate .recorded

replay: build ## recorded runs of real processes through the core again
	@scripts/replay

explore: install ## the core through every interleaving of the small models, beside TLC's states
	@$(GO) run ./impl/explore/check

histories: ## what programs saw: checkers that agree, broken cores rejected, real clusters accepted
	@scripts/histories

spec: install ## TLC on the specifications, and their mutants; z3 on any fan-out
	$(GO) run ./spec/check -class ci
	$(GO) run ./spec/fanout

spec-nightly: install ## the larger models, and the mutants of the proof
	$(GO) run ./spec/check -class nightly
	$(GO) run ./spec/fanout -mutants

recorded: ## clusters of real processes, recorded in .recorded for validate and coverage
	@rm -rf .recorded; mkdir -p .recorded
	@$(REAL) scripts/gotest ./e2e -count 1 -run '^TestCoverage$$' -v -record $(CURDIR)/.recorded >.recorded/log || \
		{ cat .recorded/log; echo "recorded: again: $(REAL) go test ./e2e -count 1 -run '^TestCoverage$$' -v"; exit 1; }

coverage: recorded ## they have taken every action of the specification, at every level and in every phase
	@sed -n 's/.*\(coverage: .*\)/\1/p' .recorded/log

fuzz: ## every fuzz target for its share of T (make fuzz T=10m), with a row for each
	@scripts/fuzz $(T)

fuzz-short: ## the same for some hundred executions each; fail files must still fail under their mutants
	@scripts/mutated $(GO) test ./fuzz
	@scripts/fuzz 500x

bench: build ## latency and throughput beside their floors
	bin/momenode bench --nodes 2

nightly: test spec-nightly ## the long runs
	$(GO) test -race $(SERIAL)
	@scripts/validate long
	$(GO) run ./impl/explore/check -class nightly -graph 1000000
	$(MAKE) fuzz T=5m
	scripts/gotest ./linearizability -run TestAgreement -rounds 200000
	scripts/mutated scripts/gotest ./impl/node -run '^TestShell$$' -seeds 20000
	scripts/gotest ./impl/wire -run '^TestFlapping$$' -flapping 10h
	$(REAL) scripts/gotest ./cmd/momenode -run '^TestFlapping$$' -timeout 3h -flap 1h
	$(REAL) scripts/gotest ./e2e -run '^TestSweep$$' -every-call
	$(MAKE) race-clusters
	$(REAL) $(GO) test -p 1 -count 5 $(CLUSTERS)

clean:
	rm -rf bin spec/.tlc .recorded
