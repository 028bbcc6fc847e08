#!/usr/bin/env bash
# make examples: build what is in examples/ and run it in a guest: each language by
# itself, then all clients against all servers; then the other examples.
. "$(dirname "$0")/lib/common.sh"
examples=$top/examples
out=$build/examples
export GOCACHE=$out/go-cache CARGO_HOME=$out/cargo

# Name | Debian packages | how to build it | how to run it
languages=(
	"python|python3||/usr/bin/python3 $examples/python/echo.py"
	"asyncio|||/usr/bin/python3 $examples/python/echo.py --asyncio"
	"c|libevent-dev|gcc -O2 -Wall -isystem $build/headers/usr/include -o $out/echo-c $examples/c/echo-libevent.c -levent -pthread|$out/echo-c"
	"shell|socat||$examples/shell/echo.sh"
	"go|golang-go|cd $examples/go && CGO_ENABLED=0 go build -buildvcs=false -o $out/echo-go .|$out/echo-go"
	"rust|cargo librust-libc-dev librust-socket2-dev librust-tokio-dev|
		mkdir -p $out/rust && cp -r $examples/rust/. $out/rust && cd $out/rust &&
		cargo build --release --offline --config 'source.crates-io.replace-with=\"debian\"' \
			--config 'source.debian.directory=\"/usr/share/cargo/registry\"' &&
		cp target/release/echo-rust $out|$out/echo-rust"
)

"$top/scripts/tree.sh"
"$lib/build-uml.sh" examples
install_headers
mkdir -p "$out"

commands=()
for language in "${languages[@]}"; do
	IFS='|' read -r -d '' name packages how command <<<"$language" || :
	command=${command%$'\n'}
	# shellcheck disable=SC2086 # a list
	[ -z "$packages" ] || need $packages
	log=$logs/examples-$name.log
	[ -z "$how" ] || run "building the example for $name" "$log" bash -c "$how" || {
		errors "$log"
		die "the example for $name does not build; all of the output is in $log"
	}
	commands+=("$name" "$command")
done

# Counts are in what the guest prints: a guest that booted twice has one such file.
passed=0 failed=0
part() { # NAME COMMAND...
	local status=0 bad
	LIMIT=900 "$lib/uml.sh" examples "$@" || status=$?
	passed=$((passed + $(grep -c '^ok - ' "$logs/$1.out" || :)))
	bad=$(grep -c '^not ok - ' "$logs/$1.out" || :)
	if [ $status != 0 ] && [ "$bad" = 0 ]; then
		echo "not ok - the guest ended with status $status (build/logs/$1.out, build/logs/$1.dmesg)"
		bad=1
	fi
	failed=$((failed + bad))
}
need socat openssl iproute2 # examples/hosts
say "booting User-Mode Linux"
part examples bash "$guest/examples.sh" "${commands[@]}"
"$lib/build-preload.sh"
for name in preload hosts; do
	part "examples-$name" bash "$guest/examples-$name.sh" "$out"
done
result examples $passed $failed
