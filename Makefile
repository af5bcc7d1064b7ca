# Two commands do everything: make run shows a lock-out and its recovery, make test runs every test.

SHELL    := /bin/bash -o pipefail
GO       ?= go
FUZZTIME ?= 20s
TESTSUM  := $(GO) run gotest.tools/gotestsum@v1.13.0
COUNTED  := /(agent/vault|testbench/lockout|testbench/hostile|testbench/audit)$$
export CGO_ENABLED ?= 1

.PHONY: man build run check test deps bench size kernels uboot soak generate debian-kernels pages

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./tools/itlbench ./firmware/itlagent

# The manual page, from what itlbench help says.
man: build
	bin/itlbench __manual > bin/itlbench.1

# The demo in this process, or on an emulated board: make run BOARD=qemu-arm.
run: build
ifdef BOARD
	bin/itlbench scenario run recovery-note --on $(BOARD)
else
	bin/itlbench demo
endif

# What one runs while working: unit tests in their short form and the rules of the
# tree. No boards, pages, fuzzing, race detector or sizes.
check:
	$(GO) vet ./...
	$(GO) test -short -skip '^Test(DocumentedCommands|MakeRun|DeviceProgram)$$' $$($(GO) list ./... | grep -v /tools/qemu$$)

# Promises that are counted have tests that run apart, where their output is seen.
# -race needs a C compiler; without one that is said. TESTSUM prints what go test
# prints, and keeps how long each test took.
test: deps debian-kernels build
	$(GO) vet ./...
	./.ci/cross
	./.ci/lint
	$(TESTSUM) --format standard-quiet --jsonfile bin/tests.json -- -timeout 60m $$($(GO) list ./... | grep -vE '$(COUNTED)')
	$(GO) test -v -timeout 30m $$($(GO) list ./... | grep -E '$(COUNTED)') | grep -vE '^ *(=== |--- PASS)'
	@if command -v gcc >/dev/null; then \
		echo '$(GO) test -race -short, host packages'; \
		$(GO) test -race -short -timeout 30m $$($(GO) list ./... | grep -v '^itlagent$$'); \
	else \
		echo 'SKIPPED: the race detector, which needs gcc'; \
	fi
	./.ci/emulate
	./.ci/fuzz $(FUZZTIME)
	@echo 'the slowest tests (without the race detector):'
	@$(TESTSUM) tool slowest --jsonfile bin/tests.json --num 10

# Pictures of the pages in bin/pages, light, dark and narrow, and those of docs/pages.md.
pages: deps
	$(GO) test ./tools/itlbench -run 'TestBrowser$$' -count 1 -shots $(CURDIR)/bin/pages
	cp bin/pages/overview-light.png docs/pages-overview.png
	cp bin/pages/phone-dark.png docs/pages-phone.png

deps:
	@./.ci/deps

# The minimal kernels of the emulated boards, 5 to 15 minutes each where the cache
# lacks them.
kernels:
	@./.ci/deps kernels
	@for board in arm mipsel mips; do ./firmware/kernel/build $$board || exit 1; done

# The boot loaders of the emulated boards that are flashed: a minute each where the cache
# lacks them.
uboot:
	@./.ci/deps kernels
	@for board in arm mips; do ./firmware/uboot/build $$board || exit 1; done

# Debian's own kernels for the boards that take them: seconds, where apt may.
debian-kernels:
	@for board in arm mipsel; do ./firmware/kernel/debian $$board || echo "make debian-kernels: no kernel for $$board" >&2; done

size:
	@./.ci/size

bench:
	$(GO) run ./tools/bench

soak: deps build
	$(GO) test -v ./agent/vault -soak -timeout 12h | grep -Ev '^(=== |    --- )'
	$(GO) test -v ./tools/qemu -cuts 1000 -timeout 12h | grep -v '^=== '
	$(GO) test -v ./tools/flasher -cuts 200 -serial -timeout 12h | grep -v '^=== '
	$(GO) test -v ./tools/itlbench -run Killed -kills 200 -clusterkills 200 -fleetkills 100 -timeout 1h | grep -v '^=== '
	$(GO) test -v ./tools/itlbench -run 'TestKilledPlan|TestKilledNode' -planphones 200 -timeout 2h | grep -v '^=== '
	$(GO) test -v ./testbench/cluster -run TestFullNode -crowd 10000 -timeout 1h | grep -v '^=== '
	$(GO) test -v ./tools/itlbench -run TestStopped -everystop | grep -v '^=== '
	$(GO) test -v -race ./testbench/cluster ./testbench/admin ./testbench/scenario ./testbench/audit -run TestStopUnder -stops 200 -timeout 2h | grep -v "^=== "
	$(GO) test -v ./testbench/lockout -run TestDay -count 50 -timeout 12h | grep -v '^=== '
	$(GO) test -v ./testbench/lockout -run TestPredictions -trials 20000 -timeout 12h | grep -v '^=== '
	$(GO) test -v ./testbench/evidence/capture -run TestConstantMemory -gigabyte -timeout 1h | grep -v '^=== '
	$(GO) test -v ./testbench/hostile -mutations 100000 -timeout 12h | grep -v '^=== '
	./.ci/fuzz 20m

generate:
	$(GO) generate ./...
