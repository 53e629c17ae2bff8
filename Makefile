# What a person types. Everything here works on a fresh machine with Rust, Go, make and a C compiler.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

.PHONY: help
help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: demo
demo: ## Ten edits in a second become Revisions, on a real control plane (KEEP=1 leaves it up, KUBECONFIG=… uses a cluster)
	@cargo build --quiet --bins -p revisor -p devcluster
	@$(if $(filter command line,$(origin KUBECONFIG)),DEMO_KUBECONFIG='$(KUBECONFIG)',DEMO_KUBECONFIG=) KEEP='$(KEEP)' deploy/demo.sh

.PHONY: test
test: tools ## Everything that has to hold: format, lints, dependencies, generated files, unit and end-to-end tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo check --locked --bins # with what people build it with, and nothing that only tests bring
	$(MAKE) --no-print-directory deny
	cargo run --quiet --locked -p devcluster -- build
	cargo test --locked -p devcluster
	cargo test --locked -p revisor
	cargo test --locked -p model
	cargo test --locked -p simulate

.PHONY: test-operators
test-operators: tools ## Scenes beside real operators, built once (OPERATOR=lws for one, RESTARTS=all, SEED=7)
	cargo run --quiet --locked -p devcluster -- build
	cargo run --quiet --locked -p devcluster -- build-operators
	cargo test --locked -p revisor --test operators -- --test-threads=1

.PHONY: test-long
test-long: tools ## Long forms of end-to-end scenarios, about an hour in all (ONLY=NAME runs one, LIST=1 says which there are)
	@tests/long.sh $(if $(LIST),--list,$(ONLY))

# A profile of its own: optimized, and linked in parts.
.PHONY: simulate
simulate: ## Histories in a simulated world (RUNS=1000 SEED=1); `make simulate TASK='show --seed 7'` for the other tasks
	@cargo build --quiet --locked --profile simulate -p simulate
	@target/simulate/simulate $(or $(TASK),run --runs $(or $(RUNS),1000) --seed $(or $(SEED),1))

.PHONY: lint
lint: ## Format and lints only
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

# It reads crates of every platform; a build has fetched only those of this one.
.PHONY: deny
deny: ## Licences, sources and banned dependencies (SKIP_DENY=1 leaves them out)
ifdef SKIP_DENY
	@echo 'SKIP_DENY is set: licences, sources and banned dependencies are not checked' >&2
else
	@command -v cargo-deny >/dev/null || { echo 'cargo-deny is not there: cargo install --locked cargo-deny (SKIP_DENY=1 leaves its checks out)' >&2; exit 1; }
	@cargo fetch --quiet --locked && cargo deny --offline --locked --log-level error check bans licenses sources
endif

# Only a BASE that is typed here counts: the name is one that many a shell has exported for something else.
.PHONY: bench
bench: ## Speed, as ratios against a floor measured in the same run; fails when a target is missed (BASE=REF: against that commit)
ifeq ($(origin BASE),command line)
	@benches/compare.sh '$(BASE)'
else
	cargo bench --locked --bench redact
	cargo bench --locked --bench view
	cargo bench --locked --bench end_to_end
endif

# Not part of the tests: it fetches crates of its own, and needs a C++ compiler.
.PHONY: fuzz-check
fuzz-check: ## Compile the fuzz targets; running them needs a nightly compiler, see tests/fuzz/Cargo.toml
	CARGO_TARGET_DIR=target/fuzz cargo check --manifest-path tests/fuzz/Cargo.toml --bins

# Two architectures at once need a builder that has both, and a registry to push to: PLATFORMS=linux/amd64,linux/arm64.
.PHONY: image
image: ## Build the image (IMAGE=registry.example.com/revisor:0.1.0; PLATFORMS=linux/amd64,linux/arm64 builds both and pushes; ENGINE=podman)
	@[ -n '$(IMAGE)' ] || { echo 'IMAGE says what it is called: make image IMAGE=registry.example.com/revisor:0.1.0' >&2; exit 2; }
	@command -v $(or $(ENGINE),docker) >/dev/null || { echo '$(or $(ENGINE),docker) is not there: ENGINE names another program that builds images' >&2; exit 1; }
	$(or $(ENGINE),docker) $(if $(PLATFORMS),buildx build --push --platform '$(PLATFORMS)',build) --tag '$(IMAGE)' .

.PHONY: generate
generate: ## Write the files that are made from the code: the custom resource, flags, metrics
	REVISOR_GENERATE=1 cargo test --quiet --locked --test it generated

.PHONY: tools
tools: ## Check what the tests need
	@for tool in cargo cc sh ps kill; do command -v $$tool >/dev/null || { echo "$$tool is not there: see README.md, Development" >&2; exit 1; }; done
