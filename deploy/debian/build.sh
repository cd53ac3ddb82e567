#!/bin/sh
# Packs a built program as a Debian package, and prints the path of the package.
#
#   deploy/debian/build.sh [PROGRAM [VERSION [FOLDER]]]
#
# PROGRAM is target/release/linkspan if none is named, VERSION what the program says of itself, and FOLDER, where the package
# goes, target/debian. It needs dpkg-dev, which says what libraries the program needs; a static program needs none.
set -eu
cd "$(dirname "$0")/../.."
program=${1:-target/release/linkspan}
version=${2:-$("$program" --version | sed 's/.* //')}
folder=${3:-target/debian}
here=deploy/debian
for tool in dpkg-deb dpkg-shlibdeps; do
    command -v $tool > /dev/null || { echo "$tool is missing: install dpkg-dev" >&2 && exit 1; }
done

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
put() {
    install -D -m "$1" "$2" "$root/package/$3"
}
put 755 "$program" usr/bin/linkspan
strip --strip-unneeded "$root/package/usr/bin/linkspan"
put 640 $here/linkspan.toml etc/linkspan/linkspan.toml
put 644 $here/linkspan.sysusers usr/lib/sysusers.d/linkspan.conf
put 644 $here/linkspan.tmpfiles usr/lib/tmpfiles.d/linkspan.conf
put 644 deploy/systemd/linkspan.service lib/systemd/system/linkspan.service
sed -i 's#/usr/local/bin/#/usr/bin/#' "$root/package/lib/systemd/system/linkspan.service"
mkdir "$root/man"
"$program" man --folder "$root/man"
for page in "$root"/man/*.1; do
    gzip -9n "$page"
    put 644 "$page.gz" "usr/share/man/man1/$(basename "$page").gz"
done
put 644 $here/lintian-overrides usr/share/lintian/overrides/linkspan
put 644 $here/copyright usr/share/doc/linkspan/copyright
put 644 CHANGELOG.md usr/share/doc/linkspan/CHANGELOG.md
for example in deploy/proxies/* deploy/prometheus/alerts.yml deploy/prometheus/prometheus.yml deploy/grafana/*; do
    put 644 "$example" "usr/share/doc/linkspan/examples/$(basename "$(dirname "$example")")/$(basename "$example")"
done
gzip -9n "$root/package/usr/share/doc/linkspan/CHANGELOG.md"
# Whoever gives packages to others says who they are, as for all of Debian's tools.
maintainer="${DEBFULLNAME:-The makers of Linkspan} <${DEBEMAIL:-linkspan@example.org}>"
printf 'linkspan (%s) stable; urgency=medium\n\n  * See CHANGELOG.md.gz.\n\n -- %s  %s\n' \
    "$version" "$maintainer" "$(date -R -d "@${SOURCE_DATE_EPOCH:-$(date +%s)}")" > "$root/changelog"
put 644 "$root/changelog" usr/share/doc/linkspan/changelog
gzip -9n "$root/package/usr/share/doc/linkspan/changelog"

# dpkg-shlibdeps wants a source package around it.
mkdir -p "$root/debian" "$root/package/DEBIAN"
printf 'Source: linkspan\n\nPackage: linkspan\nArchitecture: any\n' > "$root/debian/control"
needed=$(cd "$root" && dpkg-shlibdeps -O --warnings=0 package/usr/bin/linkspan | sed -n 's/^shlibs:Depends=//p')
systemd='systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles'
cat > "$root/package/DEBIAN/control" << CONTROL
Package: linkspan
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: $maintainer
Section: net
Priority: optional
Installed-Size: $(du -sk "$root/package" | cut -f1)
Depends: ${needed:+$needed, }$systemd
Recommends: ca-certificates
Suggests: nginx | haproxy | caddy, prometheus
Homepage: https://spec.matrix.org/
Description: Matrix homeserver for several chat platforms in one process
 Several chat platforms, each with its own accounts, addresses and rules, on
 one messaging server: anyone on one can chat with anyone on another without
 leaving their own app. To clients each platform is an ordinary Matrix
 homeserver.
CONTROL
echo /etc/linkspan/linkspan.toml > "$root/package/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    install -m 755 "$here/$script" "$root/package/DEBIAN/$script"
done
(cd "$root/package" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) > "$root/package/DEBIAN/md5sums"

mkdir -p "$folder"
dpkg-deb --root-owner-group --build "$root/package" "$folder" > /dev/null
echo "$folder/linkspan_${version}_$(dpkg --print-architecture).deb"
