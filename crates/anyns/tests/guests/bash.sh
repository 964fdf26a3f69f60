# A scripted session of bash: everything that makes, signals, waits for or talks to processes.
set -u
echo "1 expansion: $((6 * 7)) ${BASH_VERSION%%.*} $(printf '%s' "$(echo nested | tr a-z A-Z)")"
echo "2 pipeline: $(printf '%s\n' c a b | sort | paste -sd,) ${PIPESTATUS[*]}"
diff <(printf 'a\nb\n') <(printf 'a\nc\n'); echo "3 process substitution: $?"
cat <<TEXT
4 here document: $LANG
TEXT
coproc DOUBLE { while read -r n; do echo $((n * 2)); done; }
echo 21 >&"${DOUBLE[1]}"; read -r twice <&"${DOUBLE[0]}"; echo "5 coprocess: $twice"
kill "$DOUBLE_PID"; wait "$DOUBLE_PID" 2>/dev/null; echo "6 killed: $?"
trap 'echo "7 trapped USR1"' USR1; kill -USR1 $$
trap 'echo "8 trapped CHLD" >/dev/null' CHLD
(exit 3) & wait $!; echo "9 waited: $?"
trap - CHLD
for i in 1 2 3 4 5; do (sleep 0.0$i; exit $i) & done
sum=0; while wait -n; s=$?; [ $s -ne 127 ]; do sum=$((sum + s)); done; echo "10 wait -n: $sum"
sleep 100 & victim=$!; kill -STOP $victim; kill -CONT $victim
{ kill -KILL $victim; wait $victim; } 2>/dev/null; echo "11 killed: $?"
{ bash -c 'kill -SEGV $$'; } 2>/dev/null; echo "12 segfault: $?"
(ulimit -n 64; ulimit -n); (umask 027; umask; touch masked; stat -c '13 %a %U:%G' masked)
exec 5>file; echo written >&5; exec 5>&-; read -r line <file; echo "14 $line"
mkfifo pipe; echo through >pipe & read -r line <pipe; wait; echo "15 $line"
nonexistent-command 2>/dev/null; echo "16 not found: $?"
./file 2>/dev/null; echo "17 not executable: $?"
printf '#!/bin/sh\necho "18 script $0 $*"\n' >script; chmod +x script; ./script a 'b c'
echo "19 ids $UID $EUID $(id) $(groups)"
echo "20 host $(hostname) $(uname -s -n) $HOSTNAME"
bash -c 'set -m; sleep 0.2 & fg %1 >/dev/null'; echo "21 foreground: $?"
timeout 0.1 sleep 10; echo "22 timeout: $?"
echo "23 nice $(nice -n 5 nice)"
test -r /proc/self/status && echo "24 $(grep -c . /proc/self/status) lines of status"
echo "25 $(cat /proc/self/comm) $(readlink /proc/self/exe) $(tr '\0' ' ' </proc/self/cmdline)"
echo "26 $(ls -l file | cut -d' ' -f1-4)"
exec bash -c 'echo "27 replaced"; exit 42'
