#!/bin/sh
# Does what docs/guides/install.md says, word for word, in a fresh Debian, and looks whether two people can then log in and chat
# by HTTPS. What it installs has to be in the Debian already, because there is no network.
#
#   deploy/debian/try-guide.sh PACKAGE ROOT
#
# ROOT was made by `debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,curl,openssl,nginx-light,ca-certificates`.
# It is copied.
set -eu
package=$(realpath "$1") made=$(realpath "$2")
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -a "$made" "$work/root"
cp "$package" "$work/root/root/"
{
    echo '#!/bin/bash'
    echo 'set -eux'
    # There is no network to update lists of packages by.
    sed -n '/^```sh$/,/^```$/{/^```/d; /^apt-get update$/d; p}' docs/guides/install.md
    cat << 'CHECK'
set +x
ask() {
    method=$1 host=$2 token=$3 path=$4 body=${5:-}
    curl -sf -X "$method" ${token:+-H "Authorization: Bearer $token"} ${body:+-d "$body"} \
        "https://$host/_matrix/client/v3/$path"
}
field() { sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }
log_in() {
    ask POST "$1" "" login "{\"type\":\"m.login.password\",\"identifier\":{\"type\":\"m.id.user\",\"user\":\"$2\"},\"password\":\"$(cat /root/$2.password)\"}" |
        field access_token
}
anna=$(log_in photos.example anna)
ben=$(log_in family.example ben)
room=$(ask POST photos.example "$anna" createRoom \
    '{"preset":"trusted_private_chat","is_direct":true,"invite":["@ben:family.example"]}' | field room_id)
ask POST family.example "$ben" "rooms/$room/join" '{}'
ask PUT photos.example "$anna" "rooms/$room/send/m.room.message/1" '{"msgtype":"m.text","body":"Hello from over here"}'
ask GET family.example "$ben" sync | grep -q 'Hello from over here'
echo "Anna and Ben chat"
CHECK
} > "$work/trial"
begun=$(date +%s)
deploy/debian/boot.sh "$work/root" "$work/trial"
echo "the guide was followed in $(($(date +%s) - begun)) seconds"
