#!/bin/bash
# What work costs inside `bwrap --ro-bind / / --bind . . --tmpfs /tmp`: natively and under either back
# end; and without bwrap under the empty supervisor that is told of calls with paths, and under PRoot.
#
# usage: benches/sandbox.sh [ROUNDS]       as root; needs bubblewrap, git, gcc, make, proot and
# cargo build --release --workspace --bins. Rounds are interleaved; medians count.
set -eu
rounds=${1:-3}
cd "$(dirname "$0")/.."
release=$(dirname "$(find target -path '*release/anyns' -type f | head -n1)")
store=$(mktemp -d -p /var/tmp)
trap 'rm -rf "$store"' EXIT
chmod 755 "$store"
cp "$release"/{anyns,floor,workload,refusing-host} "$store"
work=$store/work
mkdir "$work"

# 5,000 files under git, and 100 of C that include what programs do.
(
    cd "$work"
    mkdir tree objects
    for d in $(seq 50); do
        mkdir "tree/$d"
        for f in $(seq 100); do echo "$d $f" >"tree/$d/$f"; done
    done
    git -C tree init -q
    git -C tree add .
    git -C tree -c user.name=me -c user.email=me@localhost commit -qm all
    for n in $(seq 100); do
        printf '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\nint f%d(int a) { return a + %d; }\n' "$n" "$n" >"objects/$n.c"
    done
    printf 'all: $(patsubst %%.c,%%.o,$(wildcard *.c))\nclean:\n\trm -f *.o\n' >objects/Makefile
)
chown -R 1000:1000 "$work"

box="bwrap --ro-bind / / --dev /dev --bind $work $work --tmpfs /tmp --chdir $work"
# name, words before the command, words around it
places() {
    echo "native|$store/refusing-host open 1000|$box"
    echo "floor|$store/refusing-host open 1000 $store/floor|env -C $work"
    echo "notify|$store/refusing-host max0 1000 $store/anyns run --backend=notify --|$box"
    echo "stop|$store/refusing-host docker 1000 $store/anyns run --backend=stop --|$box"
    echo "PRoot|$store/refusing-host docker 1000|env -C $work proot -r /"
}

# The commands print how long they took in microseconds, so that the start of the box is not in it.
cat >"$store/took" <<'TOOK'
#!/bin/bash
# usage: took CMD...: prints how many microseconds it took
start=${EPOCHREALTIME/./}
"$@" >/dev/null
end=${EPOCHREALTIME/./}
echo $((end - start))
TOOK
cat >"$store/twice" <<'TWICE'
#!/bin/bash
# usage: twice CMD...: two at once
"$@" & "$@" & wait
TWICE
chmod 755 "$store"/{took,twice}
cd "$work"

loop() { "$@" "$store/workload" --only path/; }
tasks() {
    local around=$1
    $around "$store/took" git -C tree status | sed 's/^/git status of 5,000 files /'
    $around "$store/took" find /usr -name nothing | sed 's/^/find \/usr /'
    $around "$store/took" ls -lR /usr/share | sed 's/^/ls -lR \/usr\/share /'
    [ "$name" = floor ] || $around "$store/took" make -s -j2 -C objects | sed 's/^/make -j2 of 100 C files /'
    [ "$name" = floor ] || $around make -s -C objects clean
    loop $around
}

seen=$store/seen
: >"$seen"
for _ in $(seq "$rounds"); do
    while IFS='|' read -r name before around; do
        # shellcheck disable=SC2086 # words
        {
            tasks "$before $around"
            # The start of the box itself, and two guests at once against one.
            host=${before%% 1000*}
            $host 1000 "$store/took" ${before#*1000} $around true | sed 's/^/start to exit of true /'
            # One that has a single thread, as git status has not.
            $before $around "$store/took" find tree -size +9k | sed 's/^/one guest /'
            $before $around "$store/took" "$store/twice" find tree -size +9k | sed 's/^/two guests at once /'
        } </dev/null | sed "s/^/$name|/; s/ \([0-9.]*\)$/|\1/" >>"$seen"
    done < <(places)
done

awk -F'|' '
    !(($1, $2) in n) { n[$1, $2] = 0 }
    !($2 in row) { row[$2] = ++rows; title[rows] = $2 }
    !($1 in column) { column[$1] = ++columns; head[columns] = $1 }
    { all[$1, $2, ++n[$1, $2]] = $3 }
    function median(c, r,    i, j, k, t) {
        k = n[c, r]
        for (i = 1; i <= k; i++) for (j = i + 1; j <= k; j++)
            if (all[c, r, j] < all[c, r, i]) { t = all[c, r, i]; all[c, r, i] = all[c, r, j]; all[c, r, j] = t }
        return k ? all[c, r, int((k + 1) / 2)] : 0
    }
    END {
        printf "| inside the box |"
        for (c = 1; c <= columns; c++) printf " %s |", head[c] == "native" ? "native us" : head[c]
        printf "\n|---|"
        for (c = 1; c <= columns; c++) printf "--:|"
        printf "\n"
        for (r = 1; r <= rows; r++) {
            native = median("native", title[r])
            printf "| %s | %.1f |", title[r], native
            for (c = 2; c <= columns; c++) {
                m = median(head[c], title[r])
                printf (m && native) ? sprintf(" %.2f |", m / native) : " - |"
            }
            printf "\n"
        }
    }' "$seen"
