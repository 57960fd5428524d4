# Akri in Go. `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export CGO_ENABLED ?= 0
# Programs are built with -trimpath. With it everywhere, builds, checks and tests
# share what is compiled.
export GOFLAGS := $(filter-out -trimpath,$(shell go env GOFLAGS)) -trimpath

GO         ?= go
ARCH       ?= $(shell $(GO) env GOARCH)
STATICCHECK = $(GO) tool -modfile=tools/gen/go.mod staticcheck
GENERATED   = api/v0/zz_generated.deepcopy.go api/discovery/v0/*.pb.go samples/camera/camerapb/*.pb.go samples/opcuanode/*.pb.go charts/akri/crds/*.yaml
VERSION     = $(shell sed -n 's/^appVersion: *"\{0,1\}\([^"]*\)"\{0,1\}/\1/p' charts/akri/Chart.yaml)
# No file of this repository is larger; programs are.
MAX_FILE    = 500000
VULN_DB     = https://vuln.go.dev
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0
# Packages that have tests of a build tag: $(call tagged,integration).
tagged      = $(shell grep -rlE '^//go:build.*\b$(1)\b' --include='*_test.go' . | xargs -r -n1 dirname | sort -u)
# The chart asks for v<appVersion>[-debug]; TAG= is for its other tags.
IMAGE_FLAGS = $(if $(DEBUG),-debug) $(if $(TAG),-tag $(TAG))
# End-to-end tests that plug no devices, which are the whole machine's: they have
# clusters of their own and run beside the others, which mostly wait.
E2E_BESIDE  = ./internal/edgedemo ./internal/labs ./test/edge ./test/nodes
# The versions of Kubernetes that akri dev up has, for test-matrix; KUBERNETES="1.34 1.36" has fewer.
KUBERNETES ?= $(shell sed -n 's/^func Versions.*{"\(.*\)"} }$$/\1/p' internal/devcluster/kubebin/versions.go | sed 's/", "/ /g')
# Integration tests that plug devices too: nothing that does may run beside them.
PLUGGING    = ./internal/handlers/udev
# A package that has benchmarks alone need not be linked.
BENCHMARKS  = ./internal/agent/publish/publishbench
INTEGRATION = $(filter-out $(BENCHMARKS),$(call tagged,integration))
# With the tag, the integration tests' packages run their unit tests too: make test
# does not run these again.
UNIT_ONLY   = $(filter-out $(patsubst ./%,$(shell $(GO) list -m)/%,$(call tagged,integration)),$(shell $(GO) list ./...))
RACE       ?= ./...
# Tests of what has no goroutines, and takes Helm five times as long with the race
# detector: make race has them with it, make test without.
HELM        = ./charts
# make lint vets everything, once for all build tags.
unvetted    = $(GO) test -vet=off
# Prints what go test prints and notes how many tests there were.
summary     = $(GO) run ./tools/testsum

.PHONY: help build generate check-generated lint vulncheck test test-long long-parts long-chaos long-soak long-outage long-fuzz long-release long-matrix test-unit race race-deps test-integration test-e2e lanes test-matrix bench fuzz images images-all version release push-release check-release demo demo-down lab-k3s lab-microk8s clean long-vm test-vm long-edge long-edge-cut demo-edge

help: ## List the targets
	@awk -F':.*## ' '/^[a-zA-Z0-9_-]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the programs into bin/
	$(GO) build -trimpath -tags grpcnotrace -ldflags='-s -w -X github.com/akri-go/akri/internal/version.linked=v$(VERSION)' -o bin/ ./cmd/...

generate: ## Make the generated files anew: deepcopy, CRDs, protobuf
	$(GO) generate ./api ./samples/camera ./samples/opcuanode

check-generated: ## Fail if generated files are stale
	@before=$$(sha256sum $(GENERATED)); $(MAKE) generate; \
	if [ "$$before" != "$$(sha256sum $(GENERATED))" ]; then \
		echo "generated files were stale; they are fresh now: commit them" >&2; exit 1; \
	fi; echo "generated files are fresh"

lint: ## gofmt, no large files, go vet, staticcheck, and govulncheck where its database can be reached
	@files=$$(git ls-files -co --exclude-standard '*.go' | xargs -r ls -d 2>/dev/null | xargs -r gofmt -l); \
	if [ -n "$$files" ]; then echo "gofmt would change:" $$files >&2; exit 1; fi
	@files=$$(git ls-files -co --exclude-standard -z | xargs -0r ls -ld 2>/dev/null | awk '$$5 > $(MAX_FILE) {print $$NF}'); \
	if [ -n "$$files" ]; then echo "larger than $(MAX_FILE) bytes, so not a source:" $$files >&2; exit 1; fi
	$(GO) vet -tags 'integration e2e vm' ./...
	$(STATICCHECK) -tags 'integration e2e vm' ./...
	@$(MAKE) vulncheck

vulncheck:
	@if curl -sSfI --max-time 10 $(VULN_DB)/index/db.json >/dev/null 2>&1; then $(GO) run $(GOVULNCHECK) ./...; \
	else echo "govulncheck: skipped, $(VULN_DB) cannot be reached"; fi

# The tests on clusters and with an API server mostly wait, so they run beside each
# other; the others compute, so they are done before: a cluster without CPU time fails.
test: images race-deps ## Everything: unit tests with the race detector, integration, end to end (root)
	@rm -rf out/tests
	@status=0; $(MAKE) test-integration INTEGRATION="$(PLUGGING)" NOTE=plugging || status=1; \
	$(unvetted) -json $(HELM) | $(summary) unit || status=1; \
	$(MAKE) race RACE="$(filter-out $(patsubst ./%,$(shell $(GO) list -m)/%,$(HELM)),$(UNIT_ONLY))" || status=1; \
	echo "== test-e2e and test-integration beside each other"; \
	$(MAKE) lanes & e2e=$$!; \
	$(MAKE) test-integration INTEGRATION="$(filter-out $(PLUGGING),$(INTEGRATION))" || status=1; \
	wait $$e2e || status=1; \
	$(summary) -total || status=1; exit $$status

test-unit: ## Unit tests; no root, no network
	@$(GO) test -json ./... | $(summary) unit

race: race-deps ## Unit tests with the race detector
	@CGO_ENABLED=1 $(unvetted) -race -json $(RACE) | $(summary) race

race-deps:
	@command -v gcc >/dev/null || { echo "installing gcc and libc6-dev: the race detector needs them"; \
		apt-get update -q && apt-get install -yq -o DPkg::Lock::Timeout=300 --no-install-recommends gcc libc6-dev; }

test-integration: race-deps ## Tests against a real kube-apiserver and etcd (built once)
	@if [ -z "$(INTEGRATION)" ]; then echo "no integration tests"; exit 0; fi; \
	CGO_ENABLED=1 $(unvetted) -race -tags integration -parallel 4 -timeout 60m -json $(INTEGRATION) | $(summary) $(or $(NOTE),integration)

test-e2e: images lanes ## Tests on real clusters with real devices (root; built once)

# With less garbage collection the programs of a cluster take a fifth less CPU time, and
# an API server 120 MB more of memory. Tests that wait may run beside each other.
lanes: export GOGC ?= 400
lanes:
	@status=0; \
	$(unvetted) -tags e2e -count=1 -p 1 -parallel 6 -timeout 60m -json $(E2E_BESIDE) | $(summary) e2e-beside & beside=$$!; \
	$(unvetted) -tags e2e -count=1 -p 1 -parallel 6 -timeout 60m -json $(filter-out $(E2E_BESIDE),$(call tagged,e2e)) | $(summary) e2e || status=1; \
	wait $$beside || status=1; exit $$status

# It has a build tag of its own: an emulated machine takes a core for minutes.
test-vm: ## Tests on an emulated machine with real USB and a camera (root, to install QEMU; 4 minutes once the programs of a cluster are built)
	@$(GO) test -tags vm -count=1 -timeout 30m -json ./test/vm/... | $(summary) vm

test-matrix: images ## The end-to-end tests on every version of Kubernetes (root; long: each is built once, up to 25 minutes); KUBERNETES="1.34 1.36" has fewer
	@status=0; table=$$(printf '%-12s %s' Kubernetes "end-to-end tests"); \
	for v in $(KUBERNETES); do \
		echo "== Kubernetes $$v"; rm -rf out/tests; result=passed; \
		AKRI_KUBERNETES=$$v $(MAKE) lanes || { result=FAILED; status=1; }; \
		table+=$$(printf '\n%-12s %s' "$$v" "$$result: $$($(summary) -total | tail -n 1 || true)"); \
	done; printf '\n%s\n' "$$table"; exit $$status

# How long the parts of test-long take is for two cores.
LONG       ?= vm chaos edge edge-cut outage fuzz soak release matrix
ROUNDS     ?= 500
HISTORIES  ?= 100
CUT        ?= 10m
SOAK       ?= 1h
OUTAGE     ?= 6m
FUZZ_LONG  ?= 5m
FUZZTARGETS = $(shell grep -rhE '^func Fuzz' --include='*_test.go' . | wc -l)
about-vm      = the tests on an emulated machine with USB and a camera: 4 min
about-chaos   = $(ROUNDS) rounds of test/chaos: about 4 s each, 35 min for 500
about-edge    = $(HISTORIES) random histories of an edge node: about 40 s each, 1 h 10 min for 100
about-edge-cut = an edge node is cut off for $(CUT), its etcd restored, workloads of each kind, Akri and KubeEdge's cases run there: that, and 15 min
about-outage  = the API server is away for $(OUTAGE): that, and 3 min
about-fuzz    = $(FUZZTARGETS) fuzz targets for $(FUZZ_LONG) each: 1 h 50 min for 5m
about-soak    = devices and Pods come and go for $(SOAK), then memory, goroutines and open files are looked at: that, and 5 min
about-release = a release is built twice and compared: 10 min
about-matrix  = the tests on clusters with Kubernetes $(KUBERNETES): 12 min each, and 25 min for one that is not built yet
long-e2e      = $(GO) test -tags e2e -count=1 -timeout 24h -v

test-long: long-parts images ## What takes longer than make test (root, hours): LONG="chaos fuzz" has parts; ROUNDS=, HISTORIES=, CUT=, SOAK=, OUTAGE=, FUZZ_LONG=, KUBERNETES=
	@status=0; table=; for part in $(LONG); do \
		began=$$SECONDS; echo "== $$part"; result=passed; \
		$(MAKE) long-$$part || { result=FAILED; status=1; }; \
		table+=$$(printf '\n%-8s %s, %d s' $$part $$result $$((SECONDS - began))); \
	done; echo "$$table"; exit $$status

long-parts:
	@$(foreach part,$(LONG),$(if $(about-$(part)),echo "$(part): $(about-$(part))";,echo "there is no part $(part)" >&2; exit 2;))

long-vm: test-vm

long-chaos:
	@$(long-e2e) ./test/chaos -rounds $(ROUNDS)

long-edge:
	@$(long-e2e) -run '^TestHistories$$' ./test/edge -histories $(HISTORIES)

long-edge-cut:
	@$(long-e2e) -run '^(TestLongCut|TestEtcdRestored|TestControllers|TestOptOut|TestKubeEdgeApps|TestAkri)$$' ./test/edge -cut-for $(CUT)

long-outage:
	@$(long-e2e) -run '^TestAPIServerStopped$$' ./test/e2e -outage $(OUTAGE)

long-fuzz:
	@FUZZTIME=$(FUZZ_LONG) $(MAKE) fuzz

long-soak:
	@$(long-e2e) ./test/chaos -kill=false -for $(SOAK)

long-release: check-release

long-matrix: test-matrix

bench: images ## Measure the figures of the design on clusters of its own (root, an hour); BENCH="-idle 10m burst" has flags and figures, BENCH=--help lists them
	@$(GO) run ./test/bench $(BENCH)

fuzz: ## Run every fuzz target for FUZZTIME (default 30s) each
	@for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-30s} -fuzzminimizetime 1s $$p; \
	done; done

images: ## Container images for ARCH (default: this machine's) into out/images; DEBUG=1 adds a shell, TAG= names them
	$(GO) run ./tools/images -arch $(ARCH) $(IMAGE_FLAGS)

images-all: ## Container images for linux/amd64, arm64 and arm/v7
	$(GO) run ./tools/images -arch all $(IMAGE_FLAGS)

version: ## The version that the chart installs
	@echo $(VERSION)

release: ## What a release has, for all platforms, into out/release: images, akri, chart, SBOM, checksums
	@$(GO) run ./tools/release

push-release: ## Push the images and the chart of out/release to REGISTRY, such as ghcr.io/akri-go/akri
	@[ -n "$(REGISTRY)" ] || { echo "say where to: make push-release REGISTRY=ghcr.io/akri-go/akri" >&2; exit 2; }
	@$(GO) run ./tools/release -push $(REGISTRY)

# Go's build cache would hide what depends on the folder or the time, so the
# second build has its own. One platform: the others are built alike.
check-release: ## Build a release for ARCH twice, in two folders and with an empty cache, and compare them (minutes)
	@tmp=$$(mktemp -d); trap 'rm -rf $$tmp' EXIT; \
	git ls-files -co --exclude-standard -z | tar -c --null -T - | tar -x -C $$(mkdir $$tmp/tree && echo $$tmp/tree); \
	$(GO) run ./tools/release -arch $(ARCH) -out $$tmp/first -work $$tmp/first-work >/dev/null; \
	(cd $$tmp/tree && GOCACHE=$$tmp/cache $(GO) run ./tools/release -arch $(ARCH) -out $$tmp/second -work $$tmp/second-work >/dev/null); \
	diff $$tmp/first/SHA256SUMS $$tmp/second/SHA256SUMS && echo "two builds, the same bytes:" && cat $$tmp/first/SHA256SUMS

demo: build ## A cluster on this machine, devices that come and go, a page to look at (root); DEMO="--listen :8080"
	bin/akri dev demo $(DEMO)

lab-k3s: build ## Replay the K3s lab step by step on a cluster of its own; leaves its page up until Ctrl-C (root)
	bin/akri dev lab k3s

lab-microk8s: build ## Replay the MicroK8s workflow, with its 16 steps, in the same way (root)
	bin/akri dev lab microk8s

demo-edge: build ## A cluster and two edge nodes on this machine, links and power to cut (root)
	bin/akri dev demo edge $(DEMO)

demo-down: ## Remove the cluster of the demo
	$(GO) run ./cmd/akri dev down

clean: ## Remove bin/ and out/
	rm -rf bin out
