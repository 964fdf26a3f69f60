# Redis and nginx, each started, used, told to go on otherwise, and ended: with children by fork, a
# worker that dies, signals and files of numbers.
await() { for _ in $(seq 200); do eval "$1" && return; sleep 0.05; done; echo "in vain: $1"; }
cli() { redis-cli -s s "$@"; }
redis-server --unixsocket $PWD/s --port 0 --daemonize yes --save '' --dir $PWD --pidfile $PWD/r.pid >/dev/null
await 'cli ping >/dev/null 2>&1'
cli set a 1; cli incr a; cli save; cli bgsave
await 'cli info persistence | grep -q bgsave_in_progress:0'
cli info persistence | grep last_bgsave_status; redis-benchmark -s s -n 2000 -c 8 -q -t get 2>/dev/null | grep -c 'requests per second'
[ $(cat r.pid) = $(pgrep -x redis-server) ] && cli info server | grep -c "process_id:$(cat r.pid)"
cli shutdown nosave; await '! pgrep -x redis-server >/dev/null'; ls
mkdir logs; echo hello > index.html
cat > nginx.conf <<C
worker_processes 2; pid $PWD/n.pid; error_log $PWD/logs/e; events { worker_connections 64; }
http { access_log off; client_body_temp_path $PWD/t1; proxy_temp_path $PWD/t2; fastcgi_temp_path $PWD/t3; uwsgi_temp_path $PWD/t4; scgi_temp_path $PWD/t5; server { listen unix:$PWD/w; root $PWD; } }
C
ng() { nginx -c $PWD/nginx.conf -e $PWD/logs/e "$@"; }
get() { python3 -c 'import socket; s=socket.socket(socket.AF_UNIX); s.connect("w"); s.send(b"GET /index.html HTTP/1.0\r\n\r\n"); print(s.makefile().read().split()[-1])'; }
ng; get; await '[ $(pgrep -x nginx | wc -l) = 3 ]'; [ $(pgrep -o -x nginx) = $(cat n.pid) ] && echo master
old=$(pgrep -n -x nginx); ng -s reload; await '! kill -0 $old 2>/dev/null'; await '[ $(pgrep -x nginx | wc -l) = 3 ]'; get
kill -9 $(pgrep -n -x nginx); await '[ $(pgrep -x nginx | wc -l) = 3 ]'; get
ng -s quit; await '! pgrep -x nginx >/dev/null'; test -e n.pid || echo gone
cat logs/e | sed 's/.*\[/[/; s/[0-9]*#[0-9]*/N/; s/process [0-9]*/process N/' | grep -v notice
ps -e -o comm
