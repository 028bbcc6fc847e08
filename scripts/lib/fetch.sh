#!/usr/bin/env bash
# fetch.sh FOLDER: unpack Debian's kernel source there, from the cache or from
# the mirror this machine uses.
. "$(dirname "$0")/common.sh"
suite=trixie-backports
wanted="linux-source-7.3"

# A private apt state: apt verifies signatures as ever, and the system's
# sources and lists stay as they are.
fetch() {
	local apt=$build/apt mirror package codename
	need debian-archive-keyring
	command -v apt-get >/dev/null ||
		die "the kernel source comes as a Debian package and this is no Debian; name a tree: make tree KERNEL=/path/to/linux"
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	# shellcheck disable=SC2016 # apt replaces these
	mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 'Component: main' |
		awk -v release="$codename" '$1 == release { print $2; exit }')
	[ -n "$mirror" ] ||
		die "apt's sources name no mirror of Debian $codename to fetch $wanted from; name a tree: make tree KERNEL=/path/to/linux"
	rm -rf "$apt"
	mkdir -p "$apt/lists/partial" "$apt/cache" "$apt/sources" "$apt/deb"
	touch "$apt/status"
	cat >"$apt/sources/kernel.sources" <<-END
		Types: deb
		URIs: $mirror
		Suites: $suite
		Components: main
		Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
	END
	cat >"$apt/conf" <<-END
		Dir::Etc::SourceList "/dev/null";
		Dir::Etc::SourceParts "$apt/sources";
		Dir::Etc::Preferences "/dev/null";
		Dir::Etc::PreferencesParts "/dev/null";
		Dir::State "$apt";
		Dir::State::Lists "$apt/lists";
		Dir::State::status "$apt/status";
		Dir::Cache "$apt/cache";
		Acquire::Languages "none";
		Acquire::Retries "3";
		APT::Sandbox::User "$(id -un)";
	END
	export APT_CONFIG=$apt/conf
	run "looking for the kernel source" "$logs/apt.log" apt-get update --error-on=any ||
		die "suite $suite cannot be read from $mirror ($logs/apt.log says why); check the network, or name a tree: make tree KERNEL=/path/to/linux"
	package=$wanted
	if ! apt-cache show "$package" >/dev/null 2>&1; then
		package=$(apt-cache pkgnames linux-source-7 | sort -V | tail -n 1)
		[ -n "$package" ] || die "suite $suite has no $wanted any more; name a tree: make tree KERNEL=/path/to/linux"
		say "$wanted is not in $suite any more, trying $package"
	fi
	run "downloading $package" "$logs/apt.log" env -C "$apt/deb" apt-get download "$package" ||
		die "$package cannot be downloaded from $mirror ($logs/apt.log says why); run the command again"
	# apt has compared its hash by now: only whole files get into the cache.
	cp "$apt"/deb/*.deb "$cache/deb.part"
	mv "$cache/deb.part" "$cache/$(cd "$apt/deb" && echo *.deb)"
	rm -rf "$apt"
}
cached() { find "$cache" -name 'linux-source-7*.deb' | sort -V | tail -n 1; }

need xz-utils
[ -n "$(cached)" ] || fetch
deb=$(cached)
say "base: $(basename "$deb")"
unpack() {
	dpkg-deb --fsys-tarfile "$deb" | tar -xO --wildcards './usr/src/*.tar.xz' |
		tar -xJ -C "$1" --strip-components=1
}
run "unpacking" "$logs/unpack.log" unpack "$1" || {
	grep -q 'No space' "$logs/unpack.log" && die "the disk is full; free some and run the command again"
	rm -f "$deb"
	die "$(basename "$deb") in the cache was damaged and is removed; run the command again"
}
