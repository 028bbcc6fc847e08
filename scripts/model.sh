#!/usr/bin/env bash
# make model: search the models of waiting and waking and of connecting
# (model/README.md) in all their configurations. Of the old code the search has to
# find its three faults, of the new one it must find none, and in each mutation of
# that an error.
. "$(dirname "$0")/lib/common.sh"
rm -f "$build/results/model"
need spin gcc libc6-dev
lock model
out=$build/model
log=$logs/model.log
rm -rf "$out"
mkdir -p "$out"

# case NAME WANT MODEL MACRO...: WANT is "none", or what the error found must be
# about: "sleeps" for somebody who sleeps though there is something to do,
# "wake-ups" for more of them than the bound. Of connecting: "order" of arrival,
# "backlog" for more connections than it allows, "once" for what is done twice or
# never to a reference or a child, "answer" for one that is not true yet.
cases=()
case_() { cases+=("$*"); }

case_ old-A2-both-ends-asleep sleeps old STREAM NS=1 SENDS=3 C=3 LOWAT=2
case_ old-C1-reader-takes-edge sleeps old NPO=1 EXCL_OUT=1 WITH_OTHER READS=2
case_ old-C2-reader-woken-for-space wake-ups old NPO=1 WITH_OTHER READS=2 BOUND
case_ old-C3-all-senders-woken wake-ups old NS=3 FILLED=1 SENDS=1 READS=1 BOUND

# Messages: threads in send() and in recv()
case_ senders none new NS=2 NR=1 READS=3
case_ senders-two-places none new NS=2 NR=1 READS=2 SENDS=2 RCVBUF=2
case_ senders-queue-anew none new NS=2 NR=1 READS=2 SENDS=2 RCVBUF=2 REQUEUE
case_ senders-bound none new NS=2 NR=1 READS=2 SENDS=2 BOUND
case_ three-senders-bound none new NS=3 NR=1 READS=1 SENDS=1 FILLED=1 BOUND
case_ three-senders-two-sockets none new NS=3 S2=1 NR=1 READS=2 SENDS=1
case_ sender-interrupted none new NS=2 NR=1 READS=1 SENDS=2 SIG=0
case_ readers none new NS=1 NR=2 READS=1 SENDS=2 RCVBUF=2
case_ readers-bound none new NS=1 NR=2 SENDS=3 RCVBUF=2 BOUND
case_ readers-senders none new NS=2 NR=2 READS=1 SENDS=1 RCVBUF=2
case_ reader-interrupted none new NS=1 NR=2 READS=1 SENDS=2 RCVBUF=2 SIG=3
case_ readers-peek none new NS=1 NR=2 READS=1 SENDS=2 RCVBUF=2 WITH_PEEKER
case_ reader-exclusive-poller none new NS=1 NR=1 READS=1 SENDS=2 RCVBUF=2 NPI=1 EXCL_IN=1
# Messages: EPOLLOUT pollers, beside a thread in recv() of the other direction
case_ pollers none new NR=1 READS=1 NPO=2 WITH_OTHER
case_ pollers-edge-bound none new NR=1 READS=1 NPO=2 ET=1 WITH_OTHER BOUND
case_ poller-exclusive-bound none new NR=1 READS=2 NPO=1 EXCL_OUT=1 WITH_OTHER BOUND
case_ poller-exclusive-and-not none new NR=1 READS=1 NPO=2 EXCL_OUT=1 WITH_OTHER
case_ pollers-exclusive-edge none new NR=1 READS=1 NPO=2 EXCL_OUT=2 ET=1 WITH_OTHER
case_ pollers-two-sockets none new NR=1 READS=2 NPO=2 P2=1 ET=1
case_ poller-and-sender none new NR=1 READS=2 NPO=1 NS=1 ET=1 RCVBUF=2
case_ poller-exclusive-and-sender none new NR=1 READS=1 NPO=1 NS=1 EXCL_OUT=1 WITH_OTHER
# shutdown(), close(), SO_RCVBUF
case_ shutdown-senders none new NS=2 NR=1 READS=1 SENDS=1 SHUT=1 WITH_OTHER
case_ shutdown-poller none new NR=1 READS=1 NPO=1 EXCL_OUT=1 SHUT=1 WITH_OTHER
case_ shutdown-readers none new NS=1 SENDS=1 READS=1 NPI=1 SHUT=1 WITH_PEEKER
case_ shutdown-one-socket none new NS=3 S2=1 NR=1 READS=1 SENDS=1 FILLED=1 SHUT=2
case_ close-receiver none new NS=3 S2=1 NR=1 READS=1 SENDS=1 SHUT=3
case_ rcvbuf-grows none new NS=2 NR=1 READS=1 SENDS=2 SETBUF=2
case_ rcvbuf-grows-pollers none new NPO=2 ET=1 FILLED=1 SETBUF=2 EXCL_OUT=1
# STREAM: what is charged (C) is more than what is sent (P)
case_ stream-senders none new STREAM NS=2 NR=1 READS=2 SENDS=3
case_ stream-senders-bound none new STREAM NS=2 NR=1 READS=2 SENDS=2 C=3 BOUND
case_ stream-readers none new STREAM NS=1 NR=2 P=2 SENDS=3
case_ stream-lowat none new STREAM NS=1 NPI=1 C=3 SENDS=3 LOWAT=4
case_ stream-lowat-senders none new STREAM NS=2 NPI=1 C=2 SENDS=2 LOWAT=3
case_ stream-lowat-reader none new STREAM NS=1 NR=1 READS=1 NPI=1 C=2 SENDS=3 LOWAT=3
case_ stream-peek none new STREAM NS=1 WITH_PEEKER WANT=3 NR=1 READS=1 C=2 SENDS=4
case_ stream-peek-lowat none new STREAM NS=1 WITH_PEEKER WANT=3 NPI=1 READS=1 C=2 SENDS=4 LOWAT=3
case_ stream-pollers none new STREAM NPO=2 ET=1 EXCL_OUT=1 NPI=1 C=2 READS=3 LOWAT=2
case_ stream-poller-bound none new STREAM NPO=1 ET=1 NR=1 C=2 READS=2 BOUND
case_ stream-no-memory none new STREAM NPO=1 ET=1 NPI=1 READS=3 MEM=2 LOWAT=3
case_ stream-rcvbuf-shrinks none new STREAM NS=1 NPI=1 C=2 SENDS=4 LOWAT=4 SETBUF=2
case_ stream-lowat-sinks none new STREAM NS=1 NPI=1 SENDS=4 LOWAT=4 SETLOWAT=1
case_ stream-shutdown none new STREAM NS=1 NR=1 READS=2 SENDS=2 C=2 SHUT=1 WITH_PEEKER WANT=9

# Mutations: each leaves out or moves one step.
case_ without-send_pass sleeps new NS=2 NR=1 READS=2 SENDS=2 RCVBUF=2 MUT_SEND_PASS
case_ without-send_pass-interrupted sleeps new NS=2 NR=1 READS=1 SIG=0 MUT_SEND_PASS
case_ without-send_pass-stream sleeps new STREAM NS=2 NR=1 READS=3 SENDS=3 MUT_SEND_PASS
case_ send_pass-before-it-leaves sleeps new NS=2 NR=1 READS=2 SENDS=2 RCVBUF=2 MUT_PASS_EARLY
case_ send_check-before-send_register sleeps new NS=2 NR=1 READS=2 MUT_ORDER
case_ without-recv_pass sleeps new NS=1 NR=2 READS=1 SENDS=2 RCVBUF=2 MUT_RECV_PASS
case_ recv_pass-looks-too-early sleeps new NS=1 NR=2 READS=1 SENDS=2 RCVBUF=2 MUT_FINISH
case_ without-second-poll_check sleeps new NR=1 READS=2 NPO=1 MUT_POLL_AGAIN
case_ without-check-after-EAGAIN sleeps new NR=1 READS=2 NPO=1 ET=1 MUT_SEND_AGAIN
case_ reader-takes-any-key sleeps new NR=1 READS=2 NPO=1 EXCL_OUT=1 WITH_OTHER MUT_ANYKEY
case_ reader-of-another-threshold sleeps new STREAM NS=1 NPI=1 C=3 SENDS=3 LOWAT=4 MUT_LOWAT
case_ rcvbuf-without-recv_wake sleeps new NS=2 NR=1 READS=1 SENDS=2 SETBUF=2 MUT_SETBUF
case_ rcvbuf-without-data_ready sleeps new STREAM NS=1 NPI=1 C=2 SENDS=4 LOWAT=4 SETBUF=2 MUT_SETREAD
case_ lowat-without-data_ready sleeps new STREAM NS=1 NPI=1 SENDS=4 LOWAT=4 SETLOWAT=1 MUT_SETREAD
case_ close-without-room_wait sleeps new NS=3 S2=1 NR=1 READS=1 SENDS=1 SHUT=3 MUT_SHUT_ROOM

# Connecting: threads and pollers in connect(), threads and pollers in accept()
case_ connect none connect NB=2 NA=1 ACCEPTS=2
case_ connect-three none connect NB=3 NA=1 ACCEPTS=2
case_ connect-bound none connect NB=2 NA=2 FILLED=1 BOUND
case_ connect-interrupted none connect NB=2 NA=1 ACCEPTS=2 SIG=0
case_ connect-two-threads none connect NB=1 TWO NA=1 FILLED=1 ACCEPTS=2
case_ connect-poller none connect NB=1 NP=1 NA=1 ACCEPTS=2
case_ connect-pollers-edge none connect NP=2 ET=1 NA=1 FILLED=1 ACCEPTS=2
case_ connect-closed none connect NB=1 NQ=1 NA=1 FILLED=1 ACCEPTS=2
case_ connect-ended none connect NB=2 NA=1 FILLED=1 ACCEPTS=2 KILL
case_ connect-ended-again none connect NB=1 NP=1 NA=1 FILLED=1 KILL TRIES=2
case_ accept-interrupted none connect NB=1 NA=2 FILLED=1 SIG=3
case_ accept-poller none connect NB=2 FILLED=1 LPOLL
case_ accept-poller-exclusive none connect NB=2 NA=1 FILLED=1 LPOLL_EXCL
# listen() again, shutdown(), close() and SOCK_DESTROY of the listener
case_ listen-more none connect NB=3 FILLED=1 LISTEN=1
case_ listen-more-bound none connect NB=2 NA=1 FILLED=1 LISTEN=1 BOUND
case_ listen-less none connect NB=2 NA=1 FILLED=1 BACKLOG=1 LISTEN=0 ACCEPTS=2
case_ listener-shut none connect NB=2 NA=1 FILLED=1 LSHUT
case_ listener-shut-poller none connect NB=2 FILLED=1 LPOLL LSHUT
case_ listener-shut-both none connect NB=1 NP=1 FILLED=1 LSHUT KILL
case_ listener-shut-listens none connect NB=2 FILLED=1 LSHUT LISTEN=1
case_ listener-closed none connect NB=2 NA=1 LCLOSE TRIES=2
case_ listener-closed-both none connect NB=1 NQ=1 FILLED=1 LCLOSE
case_ listener-aborted none connect NB=2 NA=1 FILLED=1 LABORT
case_ listener-aborted-listens none connect NB=2 FILLED=1 LABORT LISTEN=0
case_ listener-shut-other none connect NB=1 FILLED=1 LSHUT TRIES=2 AGAIN_AT=1 SIG=0

# Mutations of it
case_ conn_admitted-without-data_ready sleeps connect NB=2 NA=2 MUT_NO_DATA_READY
case_ conn_admitted-wakes-all wake-ups connect NB=2 NA=1 FILLED=1 BOUND MUT_HERD
case_ conn_admit-without-backlog backlog connect NB=2 NA=1 FILLED=1 BACKLOG=1 LISTEN=0 MUT_PLACE
case_ conn_admit-after-shutdown order connect NB=2 NA=1 FILLED=1 LSHUT MUT_ADMIT_SHUT
case_ conn_state-without-peer answer connect NB=1 NA=1 FILLED=1 SIG=0 MUT_STATE
case_ conn_begin-overtakes order connect NB=2 FILLED=1 LISTEN=1 MUT_OVERTAKE
case_ conn_check-before-conn_register sleeps connect NB=1 NA=1 FILLED=1 MUT_CHECK_FIRST
case_ conn_end-state-first once connect NB=1 FILLED=1 LSHUT TRIES=2 AGAIN_AT=1 SIG=0 MUT_STATE_EARLY
case_ conn_end-error-late answer connect NP=1 FILLED=1 LSHUT MUT_ERR_LATE
case_ conn_poll-error-first answer connect NP=1 FILLED=1 LSHUT MUT_POLL_ERR
case_ conn_cancel-without-second-look once connect NB=1 NQ=1 NA=1 FILLED=1 MUT_CANCEL
case_ conn_refuse-from-private-list once connect NB=1 NQ=1 FILLED=1 LCLOSE MUT_PRIVATE
case_ listener-shut-without-conn_refuse sleeps connect NB=1 FILLED=1 LSHUT MUT_REFUSE
case_ listen-without-conn_admit sleeps connect NB=2 FILLED=1 LISTEN=1 MUT_LISTEN
case_ connect-one-queue-exclusive order connect NB=2 NA=1 FILLED=1 ACCEPTS=2 MUT_SHARED

# search NAME WANT MODEL MACRO...: a folder for each, with the trail in it
search() {
	local name=$1 want=$2 model=$3 macros=("${@:4}") folder=$out/$1 verdict states
	mkdir -p "$folder"
	cp "$top"/model/*.pml "$folder"
	cd "$folder"
	# What shows the trail
	echo "cd $folder && spin -t -p -g ${macros[*]/#/-D} $model.pml" >replay
	verdict="does not build, see $folder/log"
	#: all orders, since "timeout" looks at all processes.
	if spin -a "${macros[@]/#/-D}" "$model.pml" >log 2>&1 &&
		gcc -O2 -w -DSAFETY -DCOLLAPSE -DMEMLIM=3000 -o pan pan.c >>log 2>&1; then
		./pan -m500000 >>log 2>&1 || :
		verdict="is not searched to the end, see $folder/log"
		if grep -q 'max search depth too small\|exceed\|reached -DMEMLIM\|out of memory' log; then
			:
		elif grep -q 'pan:1: assertion violated \((nwake\|0\|((.*!=6)\|(sendshut\|sendshut\)' log; then
			verdict=wake-ups
		elif grep -q 'pan:1: assertion violated few_wakeups' log; then
			verdict=wake-ups
		elif grep -q 'pan:1: assertion violated in_order' log; then
			verdict=order
		elif grep -q 'pan:1: assertion violated \(once\|answer\)' log; then
			verdict=$(sed -nE 's/^pan:1: assertion violated (once|answer).*/\1/p' log)
		elif grep -q 'pan:1: assertion violated place' log; then
			verdict=backlog
		elif grep -q 'assertion violated *!(\|pan:1: invalid end state' log; then
			verdict=sleeps
		elif grep -q 'errors: 0' log; then
			verdict=none
		fi
	fi
	rm -f pan pan.[bchmptu]
	states=$(sed -nE 's/^ *([0-9]+) states, stored.*/, \1 states/p' log)
	if [ "$verdict" = "$want" ]; then
		case $want in
		none) echo "ok - $name$states" ;;
		*) echo "ok - $name: found ($want)$states" ;;
		esac >"$out/$name.result"
	else
		case $verdict in
		none) verdict="no error found, expected: $want" ;;
		sleeps | wake-ups | order | backlog | once | answer) verdict="error ($verdict); sh $folder/replay shows the way to it" ;;
		esac
		echo "not ok - $name: $verdict$states" >"$out/$name.result"
	fi
}

# shellcheck disable=SC2317 # run calls it
search_all() {
	local one words running=0
	for one in "${cases[@]}"; do
		read -ra words <<<"$one"
		search "${words[@]}" &
		running=$((running + 1))
		[ "$running" -lt "$(nproc)" ] || { wait -n || :; running=$((running - 1)); }
	done
	wait
}
# shellcheck disable=SC2317 # tick calls it
count() { echo "$(find "$out" -name '*.result' | wc -l) of ${#cases[@]}, "; }

run "searching" "$log" search_all || die "the search has not run; see $log"
passed=0 failed=0
for one in "${cases[@]}"; do
	line=$(cat "$out/${one%% *}.result" 2>/dev/null || echo "not ok - ${one%% *}: has not run, see $log")
	echo "$line"
	case $line in
	ok*) passed=$((passed + 1)) ;;
	*) failed=$((failed + 1)) ;;
	esac
done
result model "$passed" "$failed"
