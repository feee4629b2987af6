#!/bin/sh
# install-packages.sh PACKAGE… installs those Debian packages that are missing.
set -eu
missing=
for p in "$@"; do
	dpkg-query --show --showformat='${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "missing Debian packages:$missing. Run this as root, or: apt-get install --no-install-recommends$missing" >&2; exit 1; }
echo "installing Debian packages:$missing"
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
