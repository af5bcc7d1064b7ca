# Two commands do everything: make run tells the story, make test runs every test.

GO       ?= go
FUZZTIME ?= 5s
export CGO_ENABLED ?= 1

.PHONY: build run test deps bench soak generate fuzz

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./tools/itlbench ./firmware/itlagent

run: build
	bin/itlbench demo

# -race needs a C compiler; without one the host packages are tested without it,
# and that is said.
test: deps build
	$(GO) vet ./...
	$(GO) test ./...
	@if command -v gcc >/dev/null; then \
		echo '$(GO) test -race ./...'; $(GO) test -race ./...; \
	else \
		echo 'SKIPPED: the race detector, which needs gcc'; \
	fi
	./.ci/fuzz $(FUZZTIME)

deps:
	@./.ci/deps

bench:
	$(GO) run ./tools/bench

soak: deps build
	./.ci/fuzz 20m

generate:
	$(GO) generate ./...
