#!/bin/sh
# Installs the peers that `make bench-peers` measures beside Linkspan: PostgreSQL, Prosody and ejabberd from Debian
# (root is needed, unless they are there), Synapse from PyPI into target/peers/venv. What is there already is left alone.
# What cannot be installed is said, and is no failure: the run reports that peer as not run.
# No service of these packages is left running or enabled; the run starts what it needs with its own configurations.
set -u
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
peers=$PWD/target/peers
synapse=matrix-synapse==1.163.2
mkdir -p "$peers"

packages="postgresql prosody lua-dbi-postgresql ejabberd erlang-p1-pgsql openssl"
missing=
for package in $packages; do
    dpkg -s "$package" > /dev/null 2>&1 || missing="$missing $package"
done

# Packages start their services when they are installed; this keeps them from it.
keep_services_down() {
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' > $policy
        chmod +x $policy
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
}

if [ -z "$missing" ]; then
    :
elif ! command -v apt-get > /dev/null; then
    echo "peers: not installed, for lack of apt-get:$missing"
elif [ "$(id -u)" != 0 ]; then
    echo "peers: not installed, for lack of root:$missing"
    echo "peers: as root: apt-get install$missing"
else
    keep_services_down
    apt-get update -qq
    for package in $missing; do
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" \
            > "$peers/$package.log" 2>&1 || echo "peers: cannot install $package, see $peers/$package.log"
        case $package in
        postgresql | prosody | ejabberd)
            if command -v systemctl > /dev/null; then
                systemctl disable --quiet "$package" 2> /dev/null
            fi
            ;;
        esac
    done
fi

if [ ! -x "$peers/venv/bin/python" ] || ! "$peers/venv/bin/pip" freeze 2> /dev/null | grep -qx "$synapse"; then
    "$python" -m venv "$peers/venv" &&
        "$peers/venv/bin/pip" install --quiet --disable-pip-version-check "$synapse" psycopg2-binary ||
        echo "peers: cannot install Synapse from PyPI"
fi
exit 0
