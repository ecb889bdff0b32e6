# The front door of Sampan. Each target is one script in tools/; what takes a variable says so in its line.
# Builds go to build/ (release), build-test/, build-debug/, build-asan/, build-tsan/, build-fuzz/.

PREFIX       ?= /usr
DESTDIR      ?=
FUZZ_SECONDS ?= 3600
SOAK_SECONDS ?= 3600
export PREFIX DESTDIR FUZZ_SECONDS SOAK_SECONDS

.DEFAULT_GOAL := help
.PHONY: help run build test check bench bench-deps fuzz soak deps install uninstall clean debug asan tsan

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

run: build ## the demo: three small services, a sidecar beside each, a live page; Ctrl-C ends it
	@build/sampan demo

build: ## build/sampan-proxy and build/sampan, release
	@tools/deps.sh build
	@tools/build release

test: ## everything, under 25 minutes; ends with one line "N passed, N failed"
	@tools/deps.sh test
	@tools/test all

check: ## build, unit tests and tidy: no network, under 90 seconds
	@tools/deps.sh build unit
	@tools/test check

bench: build ## measure this machine, our sidecar beside its peers; figures go to bench/results
	@bench/run

bench-deps: ## bring the peers that bench measures against
	@bench/deps

fuzz: ## fuzz all targets in turn, new inputs kept in the corpora (FUZZ_SECONDS=3600 in all)
	@tools/deps.sh build fuzz
	@tools/fuzz --seconds $(FUZZ_SECONDS) --keep

soak: build ## the simulated mesh with fresh seeds and the demo under load, memory watched (SOAK_SECONDS=3600)
	@tools/deps.sh build unit
	@tools/soak --seconds $(SOAK_SECONDS)

deps: ## install by apt what building and testing need; without root, print the command
	@tools/deps.sh build unit fuzz test

install: build ## install programs, man page and systemd unit (DESTDIR= PREFIX=/usr)
	@tools/install.sh install

uninstall: ## remove what install put there (DESTDIR= PREFIX=/usr)
	@tools/install.sh uninstall

debug: ## build-debug/: no optimisation, for gdb
	@tools/build debug

asan: ## build-asan/: AddressSanitizer and UBSan
	@tools/build asan

tsan: ## build-tsan/: ThreadSanitizer
	@tools/build tsan

clean: ## remove every build directory
	@rm -rf build build-test build-debug build-asan build-tsan build-fuzz build-previous
