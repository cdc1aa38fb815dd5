# make help lists the targets. They need Go and make; what more one needs is
# said beside it.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null)
GO      ?= go
FUZZTIME ?= 1000000x
BENCHTIME ?= 1s
SOCKETS ?= 100000
CHURN ?= 30m
KERNELS ?= 6.1 6.12
TESTS ?= .
PREFIX  ?= /usr/local
DESTDIR ?=
SHARE    = $(DESTDIR)$(PREFIX)/share
# What is built from one commit has one date, so that it is the same everywhere.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

export CGO_ENABLED = 0

.DEFAULT_GOAL := build
.PHONY: help build documents install uninstall package release run test race integration lint fuzz soak faults kernels vuln bench benchmarks schema packs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/sockets.ext
	$(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)' -o bin/sockets.ext ./extension

documents: ## write the manual pages and the shells' completions to bin/share
	rm -rf bin/share
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) GOOS= GOARCH= $(GO) run -tags documents -ldflags '-X main.version=$(VERSION)' ./extension bin/share

bin/sockets.ext:
	$(MAKE) build

bin/share:
	$(MAKE) documents

install: bin/sockets.ext bin/share ## install what is built, as the command osquery-sockets, below DESTDIR and PREFIX (/usr/local)
	install -D -m 0755 bin/sockets.ext $(DESTDIR)$(PREFIX)/lib/osquery-sockets/sockets.ext
	install -d $(DESTDIR)$(PREFIX)/bin
	ln -sf ../lib/osquery-sockets/sockets.ext $(DESTDIR)$(PREFIX)/bin/osquery-sockets
	cd bin/share && find . -type f -exec install -D -m 0644 '{}' '$(abspath $(SHARE))/{}' ';'

uninstall: ## remove what make install put below DESTDIR and PREFIX
	rm -f $(DESTDIR)$(PREFIX)/bin/osquery-sockets $(DESTDIR)$(PREFIX)/lib/osquery-sockets/sockets.ext
	rm -f $(SHARE)/man/man1/osquery-sockets.1 $(SHARE)/man/man1/osquery-sockets-*.1
	rm -f $(SHARE)/bash-completion/completions/osquery-sockets $(SHARE)/zsh/site-functions/_osquery-sockets $(SHARE)/fish/vendor_completions.d/osquery-sockets.fish
	test ! -d $(DESTDIR)$(PREFIX)/lib/osquery-sockets || rmdir $(DESTDIR)$(PREFIX)/lib/osquery-sockets

package: build documents ## make dist/*.deb, dist/*.rpm, an SBOM and SHA256SUMS; GOARCH=arm64 makes another architecture's
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) GOOS= GOARCH= $(GO) run ./integration/packaging -version '$(VERSION)'

release: ## tag this commit with VERSION (such as v1.2.3) and the notes that CHANGELOG.md has of it
	@echo '$(VERSION)' | grep -Eq '^v[0-9]+\.[0-9]+\.[0-9]+(-[a-z]+[.]?[0-9]+)?$$' || { echo 'give a version: make release VERSION=v1.2.3'; exit 1; }
	@changes=$$(git status --porcelain) && test -z "$$changes" || { echo 'commit first what has changed:'; git status --short; exit 1; }
	@notes=$$(awk -v heading='## $(VERSION:v%=%)' '/^## / { here = $$0 == heading; next } here' CHANGELOG.md) && \
		test -n "$$notes" || { echo 'CHANGELOG.md has no notes below ## $(VERSION:v%=%)'; exit 1; }; \
		printf '%s\n' "$$notes" | git tag --annotate --cleanup=whitespace --file - '$(VERSION)'

run: build ## print what listens on this host, the most exposed first
	bin/sockets.ext listening

test: ## run every test that this machine can run
	$(GO) test -timeout 10m -count=1 ./...

race: ## run every test under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -timeout 15m -race -count=1 -short ./...

integration: ## run the tests against the kernel, netstat and sqlite3; none may skip (needs root)
	SOCKETS_MUST_RUN=1 $(GO) test -timeout 10m -count=1 ./integration/... ./parser/...

lint: ## check format, vet for several architectures, staticcheck
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not gofmt'ed: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags documents ./extension
	@for arch in arm64 s390x 386; do echo "go vet for linux/$$arch"; GOOS=linux GOARCH=$$arch $(GO) vet ./... || exit 1; done
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff

# Inputs are counted, since a time limit fails at random before Go 1.27
# (go.dev/issue/75804).
fuzz: ## run every fuzz target on FUZZTIME (1000000x) inputs
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done

soak: ## query for CHURN (30m) while sockets, processes and namespaces come and go (needs root)
	SOCKETS_MUST_RUN=1 SOCKETS_CHURN=$(CHURN) $(GO) test -timeout 0 -count=1 -v -run 'TestChurn$$' ./integration/e2e

faults: ## inject faults and print the table of them, integration/e2e/FAULTS.md (needs root and strace)
	SOCKETS_MUST_RUN=1 SOCKETS_FAULTS=FAULTS.md $(GO) test -timeout 10m -count=1 -run 'Fault|Killed|OnLoss|TablePrefix|Churn|Registers|Refused|Memory' ./integration/e2e

# A kernel is downloaded by apt once and stays in the user's cache directory.
kernels: ## run the tests TESTS (all) under Debian's kernels KERNELS (6.1 6.12) in qemu and print integration/kernels/KERNELS.md (needs root, apt, qemu-system-x86, kmod and xz-utils)
	$(GO) run ./integration/kernels -run '$(TESTS)' -report integration/kernels/KERNELS.md $(KERNELS)

vuln: ## look for known vulnerabilities of what we use (needs the way to vuln.go.dev)
	$(GO) tool govulncheck ./...

bench: build ## compare with netstat and ss on a host with SOCKETS (100000) TCP sockets (needs root)
	@$(GO) build -o bin/bench ./integration/bench && $(GO) build -o bin/empty ./integration/bench/empty
	@bin/bench --sockets $(SOCKETS)

benchmarks: ## run the Go benchmarks
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

schema: build ## print the tables' documents from their declarations
	bin/sockets.ext schema --markdown > tables/README.md
	bin/sockets.ext schema --json > tables/schema.json
	bin/sockets.ext schema --index | sed -i -e '/^<!-- tables -->/,/^<!-- end of tables -->/{//!d}' -e '/^<!-- tables -->/r /dev/stdin' README.md

packs: ## print the packs of osquery and the policies of Fleet from the checks
	$(GO) run ./integration/packs/generate integration/packs

clean: ## remove what was built
	rm -rf bin dist
