# shellcheck shell=bash
# shellcheck disable=SC2034 # some of these only matter to those who source it
# What uml.sh and qemu.sh share: source it first. They define "start", which
# starts the guest as process $pid, its console in $work/console, its kernel's
# log in $dmesg.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

silence=60              # seconds without a sign of life (there is one every 5)
limit=${LIMIT:-1500}    # seconds for all of it
mark="@myproto@"        # what the guest's init begins its own lines with

# What a kernel says when it has caught a mistake.
splat='BUG:|kernel BUG|WARNING:|KASAN:|UBSAN:|ODEBUG:|Oops|Kernel panic|general protection'
splat+='|possible (circular|recursive) locking|inconsistent lock state|suspicious RCU usage|held lock freed'
splat+='|INFO: task .* blocked|rcu.*detected.*stall|sleeping function called|refcount_t:|ref_tracker:'
splat+='|leaked|unreferenced object|Bad page|unregister_netdevice: waiting|Freeing alive|nobody cared'

# uml_memory MIB FOLDER: User-Mode Linux has its memory in a file in /dev/shm,
# which is tiny in containers: in FOLDER then.
uml_memory() {
	[ "$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print int($4 / 1024) }')" -gt $(($1 + 76)) ] 2>/dev/null ||
		export TMPDIR=$2
}

# races ours|others: KCSAN's reports, the line with the name of each, that have a
# function of net/myproto in them, or have not.
races() {
	awk -v which="$1" '
		/BUG: KCSAN:/ { line = NR ":" $0; whose = "others" }
		/ _*myproto[^ ]*\+0x/ { whose = "ours" }
		/=======/ { if (line && whose == which) print line; line = "" }' "$dmesg"
}

# prepare NAME COMMAND...: the files of a guest.
prepare() {
	name=$1
	out=$logs/$name.out
	dmesg=$logs/$name.dmesg
	work=$build/run/$name
	shift
	rm -rf "$work"
	mkdir -p "$work"
	mkfifo "$work/console"
	printf '%q ' "$@" >"$work/command"
}

cpu_time() { awk '{ print $14 + $15 }' "/proc/$pid/stat" 2>/dev/null || echo 0; }
# A guest whose init keeps still and that uses no processor has missed its
# clock; one that spins has a bug of its own.
asleep() {
	local before
	before=$(cpu_time)
	sleep 5
	[ $(($(cpu_time) - before)) -lt 5 ]
}

# boot: run a guest to its end and show what it prints. Sets status, hung and
# splats.
boot() {
	local line held='' started='' rc begin=$SECONDS
	status=none
	hung=''
	: >"$out"
	set -m
	start
	set +m
	groups=("$pid")
	while rc=0; IFS= read -r -t "$silence" line || rc=$?; [ $rc = 0 ]; do
		case $line in
		"$mark begin") started=1 ;;
		# It can come in the middle of a line.
		*"$mark alive") held+=${line%"$mark alive"} ;;
		"$mark exit "*) status=${line##* } ;;
		*)
			[ -z "$started" ] || echo "$held$line" | tee -a "$out"
			held='' ;;
		esac
		[ $((SECONDS - begin)) -lt "$limit" ] || { hung="still running after $limit seconds"; break; }
	done <"$work/console"
	if [ $rc -gt 128 ]; then
		hung="no sign of life for $silence seconds"
		! asleep || hung="asleep"
	fi
	stop_groups 2>/dev/null
	wait "$pid" 2>/dev/null || :
	groups=()
	splats=$({ grep -nE "$splat" "$dmesg" | grep -v KCSAN: || :; races ours; } | sort -n)
}

# finish: say what went wrong, and exit as the command did.
finish() {
	local first others
	others=$(races others | sed 's/.*KCSAN: //' | sort | uniq -c)
	[ -z "$others" ] || say "KCSAN finds elsewhere in the kernel ($dmesg):"$'\n'"$others"
	if [ -n "$splats" ]; then
		first=${splats%%:*}
		say "the guest's kernel complains ($dmesg):"
		sed -n "$((first > 3 ? first - 3 : 1)),$((first + 60))p" "$dmesg" >&2
		exit 99
	elif [ -n "$hung" ]; then
		say "the guest hangs: $hung; the end of $dmesg:"
		tail -n 5 "$dmesg" >&2
		exit 98
	elif [ "$status" = none ]; then
		say "the guest ended before its time; the end of $dmesg:"
		tail -n 15 "$dmesg" >&2
		exit 97
	fi
	exit "$status"
}
