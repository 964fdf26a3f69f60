# A scripted session of dash; it uses vfork and plain fork where bash uses clone.
set -eu
n=0; while [ $n -lt 50 ]; do (exit $n) || test $? -eq $n; n=$((n + 1)); done; echo "1 forks $n"
echo "2 $(echo a; echo b | cat; (echo c))"
trap 'echo 3 exit trap' EXIT
trap 'echo 4 term' TERM; kill -TERM $$; trap - TERM
sleep 50 & kill $!; wait $! 2>/dev/null || echo "5 status $?" # it says so unless that one ends at once
(set -e; false; echo unreachable) || echo "6 status $?"
printf 'x y\nz\n' | while read -r a b; do echo "7 <$a> <$b>"; done
mkdir -p d/e; cd d/e; pwd | sed 's,.*/home,8 home,'; cd ../..
ls -ld d | cut -c1-10; ln -s d link; test -L link; ls -R d
umask; umask 077; : >private; ls -l private | cut -c1-10
id -u; id -g; id -Gn; test -w /etc/passwd || echo "9 not writable"
cat /nonexistent || echo "10 status $?"
kill -0 1 || echo "11 status $?"
echo "12 $(ulimit -c) $(ulimit -s)"
sh -c 'exit 9' || echo "13 status $?"
sh -c 'kill -9 $$' || echo "14 status $?"
times >/dev/null
