# Everything a developer runs. "make" alone lists the targets.
.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# Version and commit come from git when this is a checkout, not when it is a
# copy of the files inside of somebody else's.
ifneq ($(wildcard .git),)
VERSION ?= $(shell git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null)
COMMIT ?= $(shell git describe --always --abbrev=12 --exclude '*' --dirty 2>/dev/null)
endif
VERSION := $(or $(VERSION),devel)

LDFLAGS := -s -w -X shellagent/internal/version.Version=$(VERSION) -X shellagent/internal/version.Commit=$(COMMIT)
BUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)'

# $(call program,NAME,PACKAGE) builds bin/NAME.
define program
$(BUILD) -o dist/linked/$(1) $(2)
@mkdir -p bin; cmp -s dist/linked/$(1) bin/$(1) || bash scripts/anew.sh dist/linked/$(1) bin/$(1)
endef

# Where the client alone is built for; it is vetted there, not run.
PLATFORMS := darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

PREFIX ?= /usr/local
DESTDIR ?=
FUZZTIME ?= 5m
# Per fuzz target in "make test".
FUZZTIME_TEST ?= 8s
BENCH ?= .
SOAK ?= 20
SOAK_MINUTES ?= 120

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/agent and bin/agent-cli, static
	$(call program,agent,./cmd/agent)
	$(call program,agent-cli,./cmd/cli)

.PHONY: demo
demo: build ## try it here: an agent on 127.0.0.1 and a shell through it
	@sh scripts/demo.sh bin/agent

.PHONY: test
test: tools modules format vet staticcheck cross vulnerabilities fuzz-short unit ## everything CI runs; as root it installs what it needs

.PHONY: tools
tools: ## install what the tests run (as root), or name what is missing
	@bash scripts/tools.sh

.PHONY: modules
modules: ## fetch the Go modules
	go mod download

.PHONY: format
format: ## fail when gofmt would change a file
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { printf 'gofmt would change:\n%s\n' "$$unformatted" >&2; exit 1; }

.PHONY: vet
vet: ## go vet
	go vet ./...
	go vet -tags failpoint ./internal/failpoint

.PHONY: staticcheck
staticcheck: ## staticcheck, at the version of go.mod
	go tool staticcheck ./...

.PHONY: cross
cross: ## build and vet the client for macOS and Windows, into dist/
	@for platform in $(PLATFORMS); do \
		export GOOS=$${platform%/*} GOARCH=$${platform#*/}; \
		suffix=; [ $$GOOS != windows ] || suffix=.exe; \
		echo "client for $$platform"; \
		$(BUILD) -o dist/agent-cli-$$GOOS-$$GOARCH$$suffix ./cmd/cli; \
		CGO_ENABLED=0 go vet $$(go list -deps -f '{{with .Module}}{{if .Main}}{{$$.ImportPath}}{{end}}{{end}}' ./cmd/cli); \
	done

.PHONY: vulnerabilities
vulnerabilities: ## govulncheck; says NOT RUN when its database is out of reach
	@bash scripts/vulnerabilities.sh

.PHONY: unit
unit: ## every Go test under the race detector, those in e2e/ last; ends with the count
	@bash scripts/unit.sh

.PHONY: fuzz fuzz-short
fuzz: ## every fuzz target for FUZZTIME (5m)
	@bash scripts/fuzz.sh $(FUZZTIME)

fuzz-short:
	@bash scripts/fuzz.sh $(FUZZTIME_TEST)

# What make bench measures, and how: see docs/performance.md.
BENCH_FLAGS ?=
BENCH_OUT ?= dist/bench
# Ours and theirs lie in the page cache alike.
BENCH_ALIKE = find bin $(PEERS) -type f -perm -100 -exec bash scripts/anew.sh {} \;
BENCH_PROGRAM = $(BENCH_ALIKE) && go build -o $(BENCH_OUT)/bench ./bench && $(BENCH_OUT)/bench
BENCH_ARGS = -agent bin/agent -client bin/agent-cli -peers $(PEERS)

.PHONY: bench
bench: build peers ## side by side with OpenSSH 10 and dropbear, as root (BENCH_FLAGS='-quick -rows REGEXP')
	$(BENCH_PROGRAM) $(BENCH_ARGS) -json $(BENCH_OUT)/bench.json $(BENCH_FLAGS)

.PHONY: bench-scale
bench-scale: build peers ## what 1 to 2,000 idle sessions cost, as root; JSON and SVG in dist/bench
	$(BENCH_PROGRAM) scale $(BENCH_ARGS) -json $(BENCH_OUT)/scale.json -svg $(BENCH_OUT)/scale.svg $(BENCH_FLAGS)

.PHONY: bench-cover
bench-cover: build peers ## what an observer of the wire learns of who types, beside OpenSSH, as root (BENCH_FLAGS=-quick)
	$(BENCH_PROGRAM) cover $(BENCH_ARGS) -json $(BENCH_OUT)/cover.json $(BENCH_FLAGS)

CP_ROUNDS ?= 7
.PHONY: bench-cp
bench-cp: build ## agent cp beside rsync over the same: 10,000 small files and one of 2 GB, both ways, in turns
	@bash scripts/bench-cp.sh bin/agent $(CP_ROUNDS)

# Unpacked beside the system's programs, which stay as they are.
PEERS ?= dist/peers
.PHONY: peers
peers:
	@bash scripts/peers.sh $(PEERS)

.PHONY: bench-micro
bench-micro: ## every Go benchmark (BENCH=regexp for some)
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

.PHONY: soak
soak: ## thousands of cuts, kills and upgrades, then all tests SOAK (20) times within SOAK_MINUTES (120); ends with counts
	@bash scripts/soak.sh $(SOAK) $(SOAK_MINUTES)

.PHONY: deps
deps: ## write deps.txt, the list of what each binary links, anew
	go test -count=1 -run '^TestLinkedModules$$' . -update

.PHONY: docs
docs: ## write the refusals of PROTOCOL.md anew
	go test -count=1 -run '^TestRefusalTable$$' . -update

.PHONY: dashboard-picture
dashboard-picture: build ## draw docs/dashboard.svg anew, as root: a minute of a real agent, as examples/grafana asks Prometheus
	@bash scripts/dashboard.sh docs/dashboard.svg

.PHONY: man
man: ## write man pages and completions into dist/agent and dist/agent-cli
	go run -tags mangen ./cmd/agent man dist/agent
	go run -tags mangen ./cmd/cli man dist/agent-cli

.PHONY: install
install: build man ## install below PREFIX (/usr/local)
	install -D -m 0755 bin/agent $(DESTDIR)$(PREFIX)/bin/agent
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 0644 dist/agent/man1/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -D -m 0644 dist/agent/completions/agent.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/agent
	install -D -m 0644 dist/agent/completions/_agent $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_agent
	install -D -m 0644 dist/agent/completions/agent.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/agent.fish

# Where the packages go, and for which of Debian's architectures.
DEB_DIR ?= dist
DEB_ARCHS ?= amd64 arm64

.PHONY: deb
deb: ## Debian packages for amd64 and arm64, into dist/
	@export SOURCE_DATE_EPOCH="$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}"; \
	for arch in $(DEB_ARCHS); do \
		out=$(DEB_DIR)/build/$$arch; \
		GOOS=linux GOARCH=$$arch $(BUILD) -o $$out/agent ./cmd/agent; \
		GOOS=linux GOARCH=$$arch $(BUILD) -o $$out/agent-cli ./cmd/cli; \
		bash scripts/deb.sh '$(VERSION)' $$arch $$out $(DEB_DIR); \
	done

.PHONY: clean
clean: ## remove bin/ and dist/
	rm -rf bin dist
