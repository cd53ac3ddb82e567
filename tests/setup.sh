#!/bin/sh
# Installs what the tests with client libraries need besides Rust, and builds the driver of matrix-sdk:
# target/venv (matrix-nio), tests/js/node_modules (matrix-js-sdk), target/node (a Node, if the system's is too old for
# matrix-js-sdk). `make test` calls it for all of them, `make run` for some: `setup.sh [nio] [js] [rust]`.
# What is there already is left alone, so it is quick from the second time on.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
npm=${NPM:-npm}
cargo=${CARGO:-cargo}
mkdir -p target

# Does something if any of its causes is newer than its mark.
once() {
    mark=$1 what=$2
    shift 2
    for cause; do
        if [ ! -e "$mark" ] || [ "$cause" -nt "$mark" ]; then
            "$what"
            touch "$mark"
            return
        fi
    done
}

install_nio() {
    "$python" -m venv target/venv
    target/venv/bin/pip install --quiet --disable-pip-version-check --requirement tests/python/requirements.txt
}

install_js_sdk() {
    (cd tests/js && "$npm" ci --no-audit --no-fund --loglevel=error)
}

install_node() {
    mkdir -p target/node
    echo '{ "private": true }' > target/node/package.json
    (cd target/node && "$npm" install --no-audit --no-fund --no-save --loglevel=error node@24.9.0)
    target/node/node_modules/.bin/node --version > /dev/null
}

nio() {
    once target/venv/installed install_nio tests/python/requirements.txt
}

js() {
    once tests/js/node_modules/.installed install_js_sdk tests/js/package-lock.json
    if [ "$(node --version | sed 's/^v//; s/\..*//')" -lt 22 ]; then
        once target/node/installed install_node tests/setup.sh
    fi
}

rust() {
    "$cargo" build --quiet --manifest-path tests/rust-client/Cargo.toml --target-dir target
}

for wanted in "${@:-all}"; do
    case $wanted in
    all)
        nio
        js
        rust
        ;;
    nio | js | rust) $wanted ;;
    *) echo "usage: tests/setup.sh [nio] [js] [rust]" >&2 && exit 2 ;;
    esac
done
