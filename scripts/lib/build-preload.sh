#!/usr/bin/env bash
# build-preload.sh: the library of examples/preload in build/examples, and below
# root there the programs that are run with it: Redis, nginx, PostgreSQL. They are
# unpacked and not installed, for installed servers start. What they need and the
# machine does not have is unpacked too.
. "$(dirname "$0")/common.sh"
out=$build/examples
packages=(redis-server redis-tools nginx postgresql)
need gcc libc6-dev curl python3
install_headers
mkdir -p "$out/debs/partial"
log=$logs/build-preload.log
gcc -O2 -Wall -Wextra -shared -fPIC -isystem "$build/headers/usr/include" \
	-o "$out/myproto-preload.so" "$top/examples/preload/myproto-preload.c" -ldl >"$log" 2>&1 || {
	errors "$log"
	die "examples/preload does not build; see $log"
}
cp "$top/examples/preload/myproto-run" "$out"

[ ! -e "$out/root/complete" ] || exit 0
download() {
	run "downloading ${packages[*]}" "$log" apt-get -y --download-only --no-install-recommends \
		-o Debug::NoLocking=1 -o Acquire::Retries=3 -o Dir::Cache::archives="$out/debs/" install "${packages[@]}"
}
download || {
	# The lists may be absent or old.
	run "apt-get update" "$log" apt-get update || :
	download || die "apt-get could not download ${packages[*]}; $log says why, check the network and the sources in /etc/apt"
}
rm -rf "$out/root"
mkdir -p "$out/root"
for package in "$out"/debs/*.deb; do
	[ ! -e "$package" ] || dpkg-deb -x "$package" "$out/root"
done
touch "$out/root/complete"
