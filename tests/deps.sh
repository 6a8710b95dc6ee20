#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Install the Debian packages that building (and, without an argument, testing) need; says which. `deps.sh demo`: only what the demo uses.
set -eu

build="gcc make clang llvm pkg-config libbpf-dev libxdp-dev libelf-dev zlib1g-dev libnl-3-dev libnl-route-3-dev linux-libc-dev libc6-dev
flex bison libsmartcols-dev libjson-c-dev libcap-dev libpcap-dev iproute2"
demo="curl nginx-light ethtool iputils-ping procps netcat-openbsd python3"
tests="libcmocka-dev python3-scapy python3-hypothesis python3-pytest python3-pytest-xdist bpftool nftables strace tcpdump libcap2-bin util-linux
libbpf-tools libasan8 libubsan1 libclang-rt-14-dev netbase"

case "${1:-all}" in
demo) want="$build $demo" ;;
*) want="$build $demo $tests" ;;
esac

missing=
for p in $want; do
	dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -q '^installed$' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"
if [ "$(id -u)" != 0 ]; then
	echo "deps.sh: not root: apt-get install$missing" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1 || {
	apt-get update -qq
	apt-get install -qq -y --no-install-recommends $missing >/dev/null
}
