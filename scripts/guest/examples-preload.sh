#!/bin/bash
# examples-preload.sh FOLDER: inside the guest, programs that are not changed on
# channels: Redis, nginx and PostgreSQL, and what a small program sees. FOLDER is
# where build-preload.sh left the library and the programs.
#
# That they did not use TCP is seen in the kernel's counters of its connections,
# which have to stay where they are.
# shellcheck disable=SC2317 # functions are called by check
set -uo pipefail
top=/tmp/preload
mkdir -p $top/bin $top/files $top/root
chmod 777 $top
# PostgreSQL does not run as root, and other users may not reach the clone.
cp "$1/myproto-preload.so" "$1/myproto-run" $top/bin
mount --bind "$1/root" $top/root
root=$top/root
export PATH=$top/bin:$root/usr/bin:$root/usr/sbin:$PATH
export LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu
postgres=$(printf '%s\n' $root/usr/lib/postgresql/*/bin /usr/lib/postgresql/*/bin | while read -r p; do
	[ ! -x "$p/postgres" ] || echo "$p"; done | head -n 1)
PATH=$postgres:$PATH
cd $top || exit

failed=0
tell() { # STATUS WHAT
	if [ "$1" = 0 ]; then echo "ok - preload: $2"; else echo "not ok - preload: $2"; failed=1; fi
}
check() { # WHAT COMMAND...
	"${@:2}" >said 2>&1 && tell 0 "$1" && return
	tell 1 "$1"
	tail -n 5 said | sed 's/^/# /'
}
# soon COMMAND...: wait until it succeeds, at most half a minute.
soon() {
	local n
	for ((n = 0; n < 300; n++)); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.1
	done
	return 1
}
# Connections of TCP that were ever opened, from either side.
opens() { awk '/^Tcp: [0-9]/ { print $6 + $7 }' /proc/net/snmp; }
# sockets STATE CHANNEL: how many there are; STATE as in /proc/net/tcp
sockets() { awk -v s="$1" -v c="$2" '$2 == s && $3 == c' /proc/net/myproto | wc -l; }
connected() { [ "$(sockets 01 "$2")" -ge "$1" ]; }
listens() { [ "$(sockets 0A "$1")" -gt 0 ]; }
user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
# file NAME MIB: what cannot be compressed, by a generator, for it is faster.
file() { perl -e 'for (1 .. $ARGV[0] * 16) { $x = ($x * 1103515245 + 12345) & 0x7fffffff; print pack("N", $x) x 16384 }' "$2" >"$1"; }

# What a small program sees. The library is asked for in one place only: the
# rest is what any program of TCP and AF_UNIX does.
modprobe myproto
cat >check.py <<'END'
import array, os, select, socket, struct, subprocess, sys, time

TCP = socket.IPPROTO_TCP
def verdict(ok, what):
    print(("ok" if ok else "not ok") + " - preload: " + what, flush=True)
def error(call, *arguments):
    try:
        call(*arguments)
    except OSError as e:
        return type(e).__name__ if e.errno != 98 else "EADDRINUSE"
def on_channel(channel):
    return any(line.split()[2] == str(channel) for line in open("/proc/net/myproto"))
def tcp(address=None):
    s = socket.socket()
    if address:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(address)
        s.listen()
    return s

server = tcp(("0.0.0.0", 7000))
verdict(on_channel(7000) and server.getsockname() == ("127.0.0.1", 7000) and
        server.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) == socket.AF_INET and
        server.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL) == TCP, "the server keeps its address and family")
client = tcp()
client.setblocking(False)
client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 50000)
client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 3, 0))
before = [client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)]
poll = select.epoll()
poll.register(client, select.EPOLLIN | select.EPOLLET)
verdict(client.connect_ex(("127.0.0.1", 7000)) == 0, "a non-blocking connect() succeeds at once")
accepted, address = server.accept()
verdict(address == client.getsockname() == accepted.getpeername() and address[0] == "127.0.0.1" and
        client.getpeername() == ("127.0.0.1", 7000), "both ends tell the same addresses")
verdict(before == [client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)] and
        not client.getblocking() and not os.get_blocking(client.fileno()) and not os.get_inheritable(client.fileno()) and
        os.get_blocking(accepted.fileno()), "O_NONBLOCK, close-on-exec, sizes and time-outs are kept")
accepted.send(b"x")
verdict(poll.poll(5) == [(client.fileno(), select.EPOLLIN)], "an epoll set that had the socket before connect() has it")
for s in server, client, accepted:
    s.setsockopt(TCP, socket.TCP_NODELAY, 1)
    s.setsockopt(TCP, socket.TCP_KEEPIDLE, 60)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 16)
verdict(client.getsockopt(TCP, socket.TCP_KEEPIDLE) > 0 and len(client.getsockopt(TCP, socket.TCP_INFO, 104)) == 104,
        "options of TCP and IP can be set, and read")
verdict(error(client.setsockopt, TCP, 31, b"tls") is not None, "kernel TLS is not promised")
verdict(struct.unpack("3i", accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0] == os.getpid(), "SO_PEERCRED tells who connected")
copy = accepted.dup()
os.set_inheritable(copy.fileno(), True)
told = subprocess.run([sys.executable, "-c", f"import socket; print(socket.socket(fileno={copy.fileno()}).getpeername())"],
                      close_fds=False, stdout=subprocess.PIPE, text=True).stdout
verdict(told == f"{address}\n", "addresses are known after dup(), fork() and exec()")
verdict(error(tcp, ("127.0.0.1", 7000)) is None and not error(server.getsockname), "the same process may listen on the port again: that is TCP")
verdict(subprocess.run([sys.executable, "-c", "import socket; s = socket.socket(); s.bind(('127.0.0.1', 7000)); s.listen()"],
                       stderr=subprocess.PIPE, text=True).stderr.count("Address already in use") == 1, "another process may not")
plain = subprocess.Popen([sys.executable, "-c", "import socket; s = socket.socket(); s.bind(('127.0.0.1', 7001)); s.listen(); print(flush=True); s.accept()[0].send(b'plain')"],
                         env={k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}, stdout=subprocess.PIPE)
plain.stdout.read(1)
client = tcp()
client.connect(("127.0.0.1", 7001))
verdict(client.recv(9) == b"plain" and not on_channel(7001), "a server that is not on a channel is reached by TCP")
verdict(error(tcp().connect, ("127.0.0.1", 7002)) == "ConnectionRefusedError", "nobody at all is refused")
dead = tcp(("127.0.0.1", 7003))
del dead
verdict(not error(tcp, ("127.0.0.1", 7003)), "a channel is free when its socket is closed")

def local(name=None):
    s = socket.socket(socket.AF_UNIX)
    if name:
        s.bind(name)
        s.listen()
    return s
server = local(b"/tmp/preload/socket")
os.chmod("/tmp/preload/socket", 0o600)
client = local()
client.connect("socket")        # a relative path
accepted, address = server.accept()
verdict(address in ("", b"", None) and os.path.exists("socket") and not open("/proc/net/unix").read().count("/tmp/preload/socket") and
        accepted.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) == socket.AF_UNIX, "AF_UNIX: the file is there, the socket is on a channel")
pipe = os.pipe()
socket.send_fds(client, [b"x"], [pipe[1]])
message, files, flags, sender = socket.recv_fds(accepted, 1, 1)
os.write(files[0], b"passed")
verdict(os.read(pipe[0], 9) == b"passed", "AF_UNIX: descriptors can be passed")
child = os.fork()
if not child:
    os.setresuid(1, 1, 1)
    os._exit(error(local().connect, "/tmp/preload/socket") == "PermissionError")
verdict(os.waitpid(child, 0)[1] >> 8 == 1, "AF_UNIX: the permissions of the file count")
os.unlink("socket")
verdict(error(local().connect, "/tmp/preload/socket") == "FileNotFoundError", "AF_UNIX: without the file nobody connects")
server = local(b"\0name")
client = local()
client.connect(b"\0name")
server.accept()[0].send(b"abstract")
verdict(client.recv(9) == b"abstract" and not open("/proc/net/unix").read().count("@name"), "AF_UNIX: abstract names")
pair = socket.socketpair()
verdict(pair[0].send(b"x") == 1 and pair[1].recv(1) == b"x", "socketpair() stays AF_UNIX")
END
myproto-run python3 check.py || tell 1 "the small program ends before its time"

# Redis
before=$(opens)
perl -e 'srand 1; open $v, ">values"; open $q, ">keys.get"; print $q "MGET";
	for $n (1 .. 3000) {
		$value = join "", map { chr int rand 256 } 1 .. rand($n % 100 ? 500 : 20000);
		printf "*3\r\n\$3\r\nSET\r\n\$%d\r\nkey%d\r\n\$%d\r\n%s\r\n", length("key$n"), $n, length $value, $value;
		print $v "$value\n";
		print $q " key$n";
	}' >keys.set
redis() { # PORT [COMMAND...]: a server without files
	"${@:2}" redis-server --port "$1" --bind 127.0.0.1 --save '' --daemonize no --dir $top --unixsocket "$top/redis.$1" >"redis.$1.log" 2>&1 &
}
redis 6379 myproto-run
server=$!
soon listens 6379
tell $? "redis-server listens on channel 6379"
check "redis-cli sets 3000 keys" myproto-run redis-cli -p 6379 --pipe <keys.set
myproto-run redis-cli -p 6379 <keys.get >got.channel
cmp -s values got.channel
tell $? "redis-cli reads the same bytes back ($(wc -c <got.channel))"
myproto-run redis-cli -s $top/redis.6379 <keys.get | cmp -s values -
tell $? "also over what was its AF_UNIX socket"
myproto-run redis-benchmark -p 6379 -q -n 100000 -c 20 -t get >busy &
busy=$!
soon connected 20 6379
tell $? "while redis-benchmark runs, its 20 connections are on channel 6379"
! awk 'NR > 1 && $4 != "06"' /proc/net/tcp | grep -q . # but those that wait for their end
tell $? "and there is no socket of TCP"
kill $busy
check "redis-benchmark, 10 kinds of requests" myproto-run redis-benchmark -p 6379 -q -n 3000 -c 10 -d 100 \
	-t ping,set,get,incr,lpush,rpop,sadd,hset,lrange_100,mset
check "redis-benchmark, pipelines of 16, 50 clients, 2 threads" myproto-run redis-benchmark -p 6379 -q -n 20000 -P 16 --threads 2 -t set,get
check "redis-benchmark over AF_UNIX" myproto-run redis-benchmark -s $top/redis.6379 -q -n 3000 -t set,get
myproto-run redis-cli -p 6379 shutdown nosave
wait $server
[ "$(opens)" = "$before" ]
tell $? "Redis: no connection of TCP was opened"
redis 6380 env
server=$!
soon redis-cli -p 6380 ping
redis-cli -p 6380 --pipe <keys.set >said
redis-cli -p 6380 <keys.get | cmp -s - got.channel
tell $? "the same as over TCP"
[ "$(opens)" -gt "$before" ]
tell $? "(TCP is counted: $(($(opens) - before)))"
kill $server
wait $server

# nginx: also as a proxy, which adds a socket to its epoll set before connect()
: >files/0
echo -n x >files/1
file files/1m 1
file files/100m 100
cat >nginx.conf <<END
daemon off;
user nobody nogroup;
worker_processes 2;
pid $top/nginx.pid;
error_log $top/nginx.log;
events { worker_connections 256; }
http {
	access_log off;
	sendfile on;
	tcp_nopush on;
	client_body_temp_path $top/t1; proxy_temp_path $top/t2; fastcgi_temp_path $top/t3;
	uwsgi_temp_path $top/t4; scgi_temp_path $top/t5;
	proxy_max_temp_file_size 0;
	upstream kept { server 127.0.0.1:80; keepalive 4; }
	server { listen 80; listen unix:$top/nginx.sock; root $top/files; }
	server {
		listen 127.0.0.1:8080 backlog=4;
		location / { proxy_pass http://127.0.0.1:80; }
		location /kept/ { proxy_pass http://kept/; proxy_http_version 1.1; proxy_set_header Connection ""; }
		location /local/ { proxy_pass http://unix:$top/nginx.sock:/; }
	}
}
END
before=$(opens)
myproto-run nginx -e $top/nginx.log -c $top/nginx.conf &
server=$!
soon listens 8080
tell $? "nginx listens on channels 80 and 8080"
same() { # URLS FILE [OPTION...]
	# shellcheck disable=SC2086 # a list
	[ "$(myproto-run curl -sS "${@:3}" $1 | sha256sum)" = "$(sha256sum <"$2")" ]
}
for size in 0 1 1m 100m; do
	check "curl gets the file of size $size" same http://127.0.0.1/$size files/$size
	check "through the proxy" same http://127.0.0.1:8080/$size files/$size
done
check "over what was AF_UNIX" same http://x/1m files/1m --unix-socket $top/nginx.sock
check "through the proxy to what was AF_UNIX" same http://127.0.0.1:8080/local/1m files/1m
cat files/1m files/1m >files/twice
check "two files over one connection" same "http://127.0.0.1:8080/kept/1m http://127.0.0.1:8080/kept/1m" files/twice
many() {
	local n pids=() status=0
	for n in {1..30}; do
		same "http://127.0.0.1:$1/1m" files/1m &
		pids+=($!)
	done
	for n in "${pids[@]}"; do wait "$n" || status=1; done
	return "$status"
}
check "30 clients at once" many 80
check "30 clients at once through the proxy, with a backlog of 4" many 8080
check "nginx -s reload" myproto-run nginx -e $top/nginx.log -c $top/nginx.conf -s reload
sleep 1
check "works after it" same http://127.0.0.1:8080/1m files/1m
kill -QUIT $server
wait $server
[ "$(opens)" = "$before" ]
tell $? "nginx: no connection of TCP was opened"
rm -f files/100m

# PostgreSQL: "peer" is the user that SO_PEERCRED tells, also for AF_UNIX
before=$(opens)
export PGDATABASE=postgres PGUSER=nobody
check "initdb" "${user[@]}" initdb -D $top/data -A peer --auth-host=trust -U nobody --no-sync --no-locale -E UTF8
database() { # COMMAND...
	"${user[@]}" "$@" postgres -D $top/data -F -c listen_addresses=127.0.0.1 -c unix_socket_directories=$top >>postgres.log 2>&1 &
}
# Newer versions write a random word into each dump.
dump() { "${user[@]}" "${@:2}" pg_dump -h "$1" | grep -v -e '^.restrict' -e '^.unrestrict'; }
database myproto-run
server=$!
soon listens 5432 && soon "${user[@]}" myproto-run pg_isready -h 127.0.0.1
tell $? "postgres listens on channel 5432"
check "pgbench -i" "${user[@]}" myproto-run pgbench -h 127.0.0.1 -i -q
check "pgbench -c 4 -t 200" "${user[@]}" myproto-run pgbench -h 127.0.0.1 -c 4 -t 200 -n
check "pgbench -c 4 -t 200 over what was AF_UNIX, user by SO_PEERCRED" "${user[@]}" myproto-run pgbench -h $top -c 4 -t 200 -n
! myproto-run psql -h $top -c 'select 1' >said 2>&1 && grep -q 'Peer authentication failed' said
tell $? "another user is refused there"
dump 127.0.0.1 myproto-run >dump.tcp
dump $top myproto-run >dump.local
! grep -q "$top/.s.PGSQL" /proc/net/unix
tell $? "no socket of AF_UNIX has its path"
kill -INT $server
wait $server
[ "$(opens)" = "$before" ]
tell $? "PostgreSQL: no connection of TCP was opened"
database env
server=$!
soon "${user[@]}" pg_isready -h 127.0.0.1
dump 127.0.0.1 env >dump.plain
[ -s dump.plain ] && cmp -s dump.plain dump.tcp && cmp -s dump.plain dump.local
tell $? "pg_dump over both is the same as over TCP ($(wc -c <dump.plain) bytes)"
[ "$(opens)" -gt "$before" ]
tell $? "(TCP is counted: $(($(opens) - before)))"
kill -INT $server
wait $server
exit $failed
