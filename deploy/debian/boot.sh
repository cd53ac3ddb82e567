#!/bin/sh
# Boots a Debian with systemd, runs a script in it as root, and turns it off. It has no network but its own loopback. Prints
# what the script has said, and fails if the script does.
#
#   deploy/debian/boot.sh ROOT SCRIPT
#
# It takes root and systemd-container. ROOT is changed by what the script does.
set -eu
root=$1
rm -f "$root/passed"
install -m 755 "$2" "$root/trial"
cat > "$root/etc/systemd/system/trial.service" << 'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
WorkingDirectory=/root
ExecStart=/bin/sh -c '/trial > /trial.log 2>&1 && touch /passed; journalctl -u linkspan.service --no-pager > /server.log; systemctl poweroff --no-block'
UNIT
mkdir -p "$root/etc/systemd/system/default.target.wants"
ln -sf ../trial.service "$root/etc/systemd/system/default.target.wants/trial.service"
timeout 600 systemd-nspawn --quiet --register=no --keep-unit --private-network --directory="$root" --boot > "$root/boot.log" 2>&1 || true
if [ -e "$root/passed" ]; then
    cat "$root/trial.log"
else
    tail -n 60 "$root/boot.log" "$root/trial.log" "$root/server.log" >&2 || true
    exit 1
fi
