# What one does with this project. Everything works from a fresh clone with Rust, Python 3 and Node.
# What tests need besides is installed under target/ and tests/js/node_modules.

CARGO ?= cargo
PYTHON ?= python3
NPM ?= npm

# Tests with real clients look here for them.
export LINKSPAN_TEST_PYTHON := $(CURDIR)/target/venv/bin/python

.PHONY: run demo-js demo-nio test bench lint test-tools
.DEFAULT_GOAL := run

# Six people chat over three platforms, which then stay up: http://127.0.0.1:8101, :8102 and :8103.
# `make run DATA=folder` keeps the data.
run:
	@$(MAKE) --no-print-directory demo-js demo-nio & \
	$(CARGO) build --release --package linkspan --bin linkspan; built=$$?; wait; exit $$built
	@$(CARGO) run --quiet --release --package linkspan --bin linkspan -- demo --clients tests $(if $(DATA),--data "$(DATA)")

# Without a client library, the demo's own client speaks for those who would use it.
demo-js:
	@$(MAKE) --no-print-directory tests/js/node_modules/.installed target/node/installed \
	|| echo "note: matrix-js-sdk could not be installed; the demo goes without it"

demo-nio:
	@$(MAKE) --no-print-directory target/venv/installed \
	|| echo "note: matrix-nio could not be installed; the demo goes without it"

test: test-tools
	$(CARGO) xtask tidy
	$(CARGO) build --workspace --bins
	$(CARGO) test --workspace

bench:
	$(CARGO) build --release --package linkspan --bin linkspan
	$(CARGO) run --release --package linkspan-bench -- run --linkspan target/release/linkspan

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) xtask tidy
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check; \
	else echo "cargo-deny is not installed: licences and advisories were not checked"; fi

test-tools: target/venv/installed tests/js/node_modules/.installed target/node/installed

target/venv/installed: tests/python/requirements.txt
	mkdir -p target
	$(PYTHON) -m venv target/venv
	target/venv/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

tests/js/node_modules/.installed: tests/js/package-lock.json
	cd tests/js && $(NPM) ci --no-audit --no-fund --loglevel=error
	touch $@

# matrix-js-sdk needs Node 22: where this machine's is older, one that only it uses.
target/node/installed:
	mkdir -p target/node
	node --eval 'process.exit(parseInt(process.versions.node) < 22)' \
	|| $(NPM) install --prefix target/node --no-audit --no-fund --loglevel=error node@24
	touch $@
