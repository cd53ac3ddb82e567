#!/bin/sh
# Tries a package in a fresh Debian with systemd: it installs it, starts the server, has two people of two platforms chat,
# upgrades to a higher version, removes and purges, and looks after each step. Nothing of the machine is touched, and the
# Debian has no network but its own loopback.
#
#   deploy/debian/try.sh PACKAGE [ROOT]
#
# It takes root, dpkg-dev, debootstrap and systemd-container. ROOT, a folder with a Debian that was made before by
# `debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,curl`, is copied rather than made anew.
set -eu
package=$(realpath "$1")
made=${2:+$(realpath "$2")}
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

if [ -n "$made" ]; then
    cp -a "$made" "$root"
else
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,curl stable "$root" > "$work/debootstrap.log"
fi

# The same with a higher version.
dpkg-deb --raw-extract "$package" "$work/next"
sed -i 's/^Version: .*/&+next/' "$work/next/DEBIAN/control"
cp "$package" "$root/first.deb"
dpkg-deb --root-owner-group -Zgzip -z1 --build "$work/next" "$root/next.deb" > /dev/null

cat > "$work/trial" << 'TRIAL'
#!/bin/sh
set -eux
config=/etc/linkspan/linkspan.toml
unit() { systemctl show --value --property="$1" linkspan.service; }

# Installed, it waits for a configuration.
dpkg -i /first.deb
[ "$(unit UnitFileState)" = enabled ]
[ "$(unit ActiveState)" = inactive ]
[ "$(stat -c '%U:%G %a' $config)" = "root:linkspan 640" ]
[ "$(stat -c '%U:%G %a' /var/lib/linkspan)" = "linkspan:linkspan 700" ]
if linkspan check --config $config; then exit 1; fi
[ -e /usr/share/man/man1/linkspan.1.gz ]

# It starts, and says that it has.
sed -i '/^# \[\[platform\]\]/,$d' $config
cat >> $config << 'PLATFORMS'
[[platform]]
name = "photos"
server_name = "photos.example"
identity = "handle"
registration = "open"
[[platform]]
name = "family"
server_name = "family.example"
registration = "open"
verify = false
PLATFORMS
runuser -u linkspan -- linkspan check --config $config
systemctl start linkspan
[ "$(unit ActiveState)" = active ]
[ "$(unit WatchdogUSec)" != 0 ]
[ "$(stat -c %U "/proc/$(unit MainPID)")" = linkspan ]
curl -sf http://127.0.0.1:8008/_linkspan/health/ready

# Two people of two platforms chat.
ask() {
    method=$1 host=$2 token=$3 path=$4 body=${5:-}
    curl -sf -X "$method" -H "Host: $host" ${token:+-H "Authorization: Bearer $token"} ${body:+-d "$body"} \
        "http://127.0.0.1:8008/_matrix/client/v3/$path"
}
field() { sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }
register() {
    ask POST "$1" "" register "{\"username\":\"$2\",\"password\":\"correct horse $2\",\"auth\":{\"type\":\"m.login.dummy\"}}" |
        field access_token
}
anna=$(register photos.example anna)
ben=$(register family.example ben)
room=$(ask POST photos.example "$anna" createRoom \
    '{"preset":"trusted_private_chat","is_direct":true,"invite":["@ben:family.example"]}' | field room_id)
ask POST family.example "$ben" "rooms/$room/join" '{}'
ask PUT photos.example "$anna" "rooms/$room/send/m.room.message/1" '{"msgtype":"m.text","body":"Hello from over here"}'
ask GET family.example "$ben" sync | grep -q 'Hello from over here'

# Commands reach the server that runs, as its user.
runuser -u linkspan -- linkspan user list --config $config photos | grep anna
# Root may add platforms, and the file stays readable.
linkspan platform add --config $config work work.example
[ "$(stat -c '%U:%G %a' $config)" = "root:linkspan 640" ]

# It is told by SIGHUP to read its configuration and its certificates again, and goes on.
pid=$(unit MainPID)
systemctl reload linkspan
[ "$(unit MainPID)" = "$pid" ]

# An upgrade starts it anew, with the same data and the configuration as it was changed.
sum=$(sha256sum $config)
dpkg -i /next.deb
[ "$(unit ActiveState)" = active ]
[ "$(unit MainPID)" != "$pid" ]
[ "$(sha256sum $config)" = "$sum" ]
ask GET family.example "$ben" sync | grep -q 'Hello from over here'
ask GET work.example "" login

# With a configuration that is wrong, an upgrade leaves the old one running.
pid=$(unit MainPID)
cp $config /good
echo 'colour = "green"' > $config && cat /good >> $config
dpkg -i /next.deb
[ "$(unit MainPID)" = "$pid" ]
cat /good > $config

# A server that is killed comes back.
kill -KILL "$pid"
for _ in 1 2 3 4 5 6 7 8 9 10; do sleep 1; curl -sf http://127.0.0.1:8008/_linkspan/health/ready && break; done
ask GET family.example "$ben" sync | grep -q 'Hello from over here'

# Removed, it is gone but for its configuration and data.
dpkg -r linkspan
[ ! -e /usr/bin/linkspan ]
[ ! -e /lib/systemd/system/linkspan.service ]
if curl -s http://127.0.0.1:8008/; then exit 1; fi
[ -e $config ]
ls -A /var/lib/linkspan | grep -q .
dpkg -i /next.deb
[ "$(unit ActiveState)" = active ]
ask GET family.example "$ben" sync | grep -q 'Hello from over here'

# Purged, only what people have said stays.
dpkg -P linkspan
[ ! -e $config ]
ls -A /var/lib/linkspan | grep -q .
[ -z "$(find /etc -name '*linkspan.service*')" ]
TRIAL
deploy/debian/boot.sh "$root" "$work/trial" > "$work/log"
echo "the package was installed, upgraded, removed and purged"
