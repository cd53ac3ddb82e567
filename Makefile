# What one does with this project. Everything works from a fresh clone with Rust, Python 3 and Node;
# tests/setup.sh installs Chromium where it can.
# What tests need besides is installed under target/ and tests/js/node_modules.

export CARGO ?= cargo
export PYTHON ?= python3
export NPM ?= npm
ON_NODE = PATH="$$(tests/setup.sh node):$$PATH"
DENY := $(or $(CARGO_TARGET_DIR),target)/lint/bin/cargo-deny

.PHONY: run test kills bench bench-compare bench-micro bench-peers lint test-tools
.DEFAULT_GOAL := run

# Six people chat over three platforms, which then stay up: http://127.0.0.1:8101, :8102 and :8103 open their apps. What
# they send by mail and SMS is shown at :8104.
# `make run DATA=folder` keeps the data. Where a client library cannot be installed, the demo's own client speaks.
run:
	@tests/setup.sh app || echo "note: the chat app could not be built, which needs npm; pages for other Matrix apps are served"
	@{ tests/setup.sh js || echo "note: matrix-js-sdk could not be installed"; \
	tests/setup.sh nio || echo "note: matrix-nio could not be installed"; } & \
	$(CARGO) build --profile demo --package linkspan --package linkspan-demo --bins; built=$$?; wait; exit $$built
	@$(CARGO) run --quiet --profile demo --package linkspan-demo -- --clients tests $(if $(DATA),--data "$(DATA)")

test: test-tools
	$(CARGO) xtask tidy
	$(CARGO) build --workspace --bins
	$(CARGO) test --workspace
	$(ON_NODE) $(NPM) --prefix web run check
	@if [ "$(CHROMIUM)" = none ]; then echo "note: CHROMIUM=none, so the app was not tested in a browser"; \
	else $(ON_NODE) LINKSPAN=$(abspath $(or $(CARGO_TARGET_DIR),target))/debug/linkspan $(NPM) --prefix web test; fi

# Kills the server 1,000 times under load, and looks each time whether everything is there that it had acknowledged:
# tests/crash. The test before every change does it 50 times. `make kills KILLS=200` takes fewer; SEED=number does the same
# again that a run with this seed, which it prints, has done.
kills: KILLS ?= 1000
kills:
	$(CARGO) build --workspace --bins
	LINKSPAN_CRASH_KILLS=$(KILLS) $(if $(SEED),LINKSPAN_CRASH_SEED=$(SEED)) \
		$(CARGO) test --package linkspan-tests --test crash nothing_acknowledged_is_lost -- --nocapture

# What this machine can do, against what is asked: docs/benchmarks.md. `make bench ONLY="keys startup"` runs these
# scenarios alone and `make bench QUICK=1` all of them in a small size; neither writes the page, nor any other than
# OUT=page. Two scenarios run only when they are named, and have docs/benchmarks-long.md: soak, for ten minutes, and
# growth, which fills a store with a million messages.
bench: OUT ?= $(if $(ONLY)$(QUICK),,docs/benchmarks.md)
bench:
	$(CARGO) build --release --package linkspan --bin linkspan
	$(CARGO) run --release --package linkspan-bench -- run --linkspan target/release/linkspan \
		$(ONLY:%=--only %) $(if $(QUICK),--quick) $(if $(OUT),--out $(OUT))

# Whether one version of the program is slower than another: both get the same short loads in turns, so that it does not
# matter how fast the machine is just then. `make bench-compare BEFORE=path AFTER=path`, both of them binaries.
bench-compare: AFTER ?= target/release/linkspan
bench-compare:
	$(CARGO) run --release --package linkspan-bench -- compare --before $(BEFORE) --after $(AFTER) $(ONLY:%=--only %)

# What single steps cost, by criterion, against the last time: making, allowing and storing an event.
# `make bench-micro ONLY="inbox"` runs those whose name holds this.
bench-micro:
	$(CARGO) bench --package linkspan-microbench -- $(if $(ONLY),"$(ONLY)")

# The same load on Synapse, ejabberd and Prosody, and how Linkspan compares: docs/benchmarks-peers.md. Installing them
# takes Debian and root; what is not there is reported as not run. ONLY and QUICK as above.
bench-peers:
	bench/peers/setup.sh
	$(CARGO) build --release --package linkspan --bin linkspan
	$(CARGO) run --release --package linkspan-bench -- peers --linkspan target/release/linkspan \
		--venv target/peers/venv $(if $(ONLY)$(QUICK),$(ONLY:%=--only %) $(if $(QUICK),--quick),--out docs/benchmarks-peers.md)

# What takes seconds comes first. The database of advisories is on GitHub: where that is out of reach, crates are not held
# against it, and a line says so.
lint:
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path tests/rust-client/Cargo.toml --check
	$(CARGO) xtask tidy
	$(CARGO) xtask features
	$(ON_NODE) node web/dev/licences.ts
	tests/setup.sh deny
	$(DENY) check --hide-inclusion-graph bans licenses sources
	@if $(DENY) fetch db 2> /dev/null; then $(DENY) check --disable-fetch advisories; \
	else echo "note: the database of advisories cannot be reached, so advisories were not checked"; fi
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --manifest-path tests/rust-client/Cargo.toml --target-dir target -- -D warnings

# The chat app, and client libraries in Python, JavaScript and Rust; quick when they are there.
test-tools:
	tests/setup.sh
