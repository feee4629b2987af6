# Targets install what they need (Debian packages by apt-get, Go modules) and say what they do. `make help` lists them.

GO ?= go
E2E_FLAGS ?= -timeout 75m

# Debian packages: for local machines; to build bundles; and what the tests need besides: a virtual machine, and another program that
# reads bundles.
MACHINE_PACKAGES = e2fsprogs iproute2 mmdebstrap mount nftables openssh-client systemd-container util-linux
BUNDLE_PACKAGES = apt-utils ca-certificates gcc libc6-dev libseccomp-dev pkg-config
TEST_PACKAGES = curl qemu-system-x86 skopeo

# What the demo needs besides.
DEMO_PACKAGES = curl skopeo

# What it is measured against.
BENCH_PACKAGES = ansible-core

# The directories in distro that hold Go of our own; etcd's main is but a call of it, and of all of etcd.
OWN_MODULES = approver cni etcd/diskpriority

# The versions of Kubernetes that the tests use.
VERSIONS = v1.37.1 v1.36.4

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' Makefile

.PHONY: build
build: ## build bin/kubewright
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags="-s -w" -o bin/kubewright ./cmd/kubewright

.PHONY: bundles
bundles: bundle-packages build ## build the bundles of node software: minutes the first time, nothing when nothing has changed
	@for v in $(VERSIONS); do echo "building the bundle of Kubernetes $$v"; bin/kubewright bundle build --kubernetes $$v || exit; done

.PHONY: demo
demo: demo-packages build ## bring up a highly available cluster on five local machines, and use it
	bin/kubewright bundle build
	@./demo.sh

.PHONY: test
test: test-packages build lint bundles ## all tests that a change must pass (root)
	$(GO) test ./api/... ./cmd/... ./internal/... .
	@for m in $(OWN_MODULES); do $(GO) test -C distro/$$m ./... || exit; done
	$(GO) test -count=1 $(E2E_FLAGS) ./test/e2e

.PHONY: test-long
test-long: test-packages build bundles ## what takes long: races, ten thousand simulated fleets, fuzzing, clusters of older versions, kills, chaos, everything end to end in the virtual machine, too (root)
	$(GO) test -race -count=3 ./api/... ./cmd/... ./internal/... .
	$(GO) test -count=1 -timeout 60m -run=TestSimulation ./internal/converge -fleets=10000
	$(GO) test -run='^$$' -fuzz=FuzzParse -fuzztime=1m ./api/v1alpha1
	$(GO) test -run='^$$' -fuzz=FuzzSign -fuzztime=1m ./internal/pki
	$(GO) test -run='^$$' -fuzz=FuzzRates -fuzztime=1m ./internal/cli
	$(GO) test -run='^$$' -fuzz=FuzzImport -fuzztime=1m ./internal/bundle
	$(GO) test -run='^$$' -fuzz=FuzzImportable -fuzztime=1m ./internal/bundle/build
	$(GO) test -count=1 -timeout 300m -v ./test/e2e -vm-all -long

.PHONY: bench
bench: bench-packages bundles ## measure (root): 1,000 and 5,000 hosts; machines to SSH, back to fresh, down; host preparation, also by Ansible
	$(GO) test -run='^$$' -bench=. -benchtime=1x -count=1 -timeout 60m ./internal/converge
	$(GO) test -run='^$$' -bench=. -benchtime=5x -count=1 -timeout 300m ./test/e2e

.PHONY: pictures
pictures: build ## draw docs/pictures/{plan,apply,status}.svg anew, of what they show of a living cluster: make pictures CLUSTER=DIR/cluster.yaml applies it
	@./pictures.sh "$(CLUSTER)"

.PHONY: lint
lint: ## formatting, vet and linters
	@test -z "$$(gofmt -l .)" || { echo "not formatted; run gofmt -w on:"; gofmt -l .; exit 1; }
	$(GO) vet -tags=ownkernel ./...
	@for m in $(OWN_MODULES); do $(GO) vet -C distro/$$m ./... || exit; done
	$(GO) tool -modfile=tools/go.mod staticcheck -tags=ownkernel ./...
	$(GO) tool -modfile=tools/go.mod errcheck -tags=ownkernel -exclude tools/errcheck.txt ./...

.PHONY: machine-packages
machine-packages:
	@./install-packages.sh $(MACHINE_PACKAGES)

.PHONY: bundle-packages
bundle-packages:
	@./install-packages.sh $(BUNDLE_PACKAGES)

.PHONY: test-packages
test-packages:
	@./install-packages.sh $(MACHINE_PACKAGES) $(BUNDLE_PACKAGES) $(TEST_PACKAGES)

.PHONY: demo-packages
demo-packages:
	@./install-packages.sh $(MACHINE_PACKAGES) $(BUNDLE_PACKAGES) $(DEMO_PACKAGES)

.PHONY: bench-packages
bench-packages:
	@./install-packages.sh $(MACHINE_PACKAGES) $(BENCH_PACKAGES)
