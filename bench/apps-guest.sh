#!/bin/sh
# shellcheck disable=SC2086 # lists of words
# apps-guest.sh: inside the guest, requests of Redis and nginx from one client over
# each family. apps-report.py on the host is told "NAME FAMILY" by /dev/ttyS2, counts
# for some seconds what client and server do, and answers with a line.
mkdir -p /lib64 /etc /tmp/files
ln -s /bin/ld-linux-x86-64.so.2 /lib64
ln -s redis-check-rdb /bin/redis-server
export LD_LIBRARY_PATH=/bin
echo 'root:x:0:0::/:/bin/sh' >/etc/passwd
echo 'nobody:x:65534:65534::/:/bin/sh' >>/etc/passwd
echo 'nogroup:x:65534:' >/etc/group
head -c 1024 /dev/zero >/tmp/files/1k
exec 3<>/dev/ttyS2
say() { echo "$*" >&3 && read -r _ <&3; }

# serve RUN PORT NAME: the servers, by RUN on channels, or on TCP and AF_UNIX
serve() {
	$1 redis-server --bind 127.0.0.1 --port "$2" --unixsocket "/tmp/redis.$3" --save '' --hz 1 >"/tmp/redis.$3.log" &
	cat >"/tmp/nginx.$3.conf" <<-END
	daemon off; master_process off; pid /tmp/nginx.$3.pid; error_log /tmp/nginx.log;
	events { }
	http {
		access_log off; sendfile on; keepalive_requests 1000000;
		client_body_temp_path /tmp/t1; proxy_temp_path /tmp/t2; fastcgi_temp_path /tmp/t3;
		uwsgi_temp_path /tmp/t4; scgi_temp_path /tmp/t5;
		server { listen 127.0.0.1:$(($2 + 1)); listen unix:/tmp/nginx.$3; root /tmp/files; }
	}
	END
	$1 nginx -e /tmp/nginx.log -c "/tmp/nginx.$3.conf" &
}
measure() { # NAME FAMILY COMMAND...: a client that goes on for ever
	name="$1 $2"
	shift 2
	"$@" >/tmp/said 2>&1 &
	client=$!
	usleep 300000
	say "$name"
	kill "$client" || cat /tmp/said
	wait "$client" || :
}
redis() { measure "redis-$1" "$2" $3 redis-benchmark $4 -l -q -c 1 -P 1 -d 64 -t "$1" -n 100000; }
web() { measure nginx "$1" $2 curl -sS -f $3 -o /dev/null "http://127.0.0.1:$4/1k?[1-1000000]"; }

serve "" 1000 plain
serve "myproto-run -t" 2000 channel
sleep 2
for kind in get set; do
	redis $kind AF_UNIX "" "-s /tmp/redis.plain"
	redis $kind AF_MYPROTO "myproto-run -t" "-p 2000"
	redis $kind TCP "" "-p 1000"
done
web AF_UNIX "" "--unix-socket /tmp/nginx.plain" 1001
web AF_MYPROTO "myproto-run -t" "" 2001
web TCP "" "" 1001
