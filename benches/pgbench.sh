#!/bin/sh
# Throughput of PostgreSQL, read only, with eight clients: natively, under either back end, and under
# each in namespaces of its own, where its semaphores and segments are served by anyns.
#
# usage: benches/pgbench.sh [SECONDS]       as root; needs Debian's postgresql, and for the
# "refused" rows target/.../release/refusing-host (cargo build --release --workspace --bins)
set -eu
seconds=${1:-10}
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n1)
cd "$(dirname "$0")/.."
release=$(dirname "$(find target -path '*release/anyns' -type f | head -n1)")
store=$(mktemp -d)
trap 'rm -rf "$store"' EXIT
chmod 755 "$store"
cp "$release/anyns" "$release/refusing-host" "$store"
mkdir "$store/data"
chown 1000:1000 "$store/data"

cat >"$store/serve" <<'SERVE'
#!/bin/sh
# usage: serve BIN SECONDS DIRECTORY: makes a cluster, measures, prints transactions per second.
set -eu
PATH=$1:$PATH
exec 2>"$3.err"
initdb -D "$3" -A trust -U me >/dev/null
printf "listen_addresses = ''\nunix_socket_directories = '%s'\nshared_memory_type = sysv\nfsync = off\n" "$3" >>"$3/postgresql.conf"
pg_ctl -D "$3" -l "$3/log" -w start >/dev/null
pgbench -h "$3" -U me -i -q -s 10 postgres >/dev/null
pgbench -h "$3" -U me -S -c 8 -j 2 -T "$2" -n postgres | sed -n 's/^tps = \([0-9]*\).*/\1/p'
pg_ctl -D "$3" -m fast -w stop >/dev/null
SERVE
chmod 755 "$store/serve"

native=
measure() {
    name=$1
    shift
    directory="$store/data/$(echo "$name" | tr ', ' '--')"
    tps=$("$@" "$store/serve" "$bin" "$seconds" "$directory") || tps=
    if [ -z "$tps" ]; then
        echo "$name: failed" >&2
        cat "$directory.err" >&2
        exit 1
    fi
    native=${native:-$tps}
    echo "| $name | $tps | $(awk "BEGIN { printf \"%.2f\", $tps / $native }") |"
}

echo "| place | transactions a second | to native |"
echo "|---|--:|--:|"
measure native "$store/refusing-host" plain 1000
for back_end in notify stop; do
    run="$store/anyns run --backend=$back_end --"
    # shellcheck disable=SC2086 # words
    measure "$back_end" "$store/refusing-host" max0 1000 $run
    # shellcheck disable=SC2086
    measure "$back_end, ipc namespace" "$store/refusing-host" max0 1000 $run unshare -Uci
done
