//! bubblewrap: every option its manual lists, but for those that take a net or time
//! namespace, and the command lines of those that use it, print on a host that refuses namespaces
//! what they print where the kernel grants them.
//!
//! Each case is a shell script, run by the same ordinary user in each place.

mod harness;

use harness::normal::Normal;
use harness::same::{Scripts, same};
use harness::{Place, Scratch};

use Normal::Inodes;

/// `$BOX` is the usual sandbox, `$W` a directory with a file; `n` takes out numbers.
const START: &str = "exec 2>&1; mkdir -p w; echo text >w/file; W=$PWD/w; export W; \
    BOX='bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp'; \
    n() { sed 's/[0-9][0-9]*/N/g'; }; m() { sed \"s,$PWD,HOME,g\"; }; ";

#[track_caller]
fn equal(name: &str, scripts: &[&str]) {
    equal_in(name, &[Place::Refused], scripts, |_| {});
}

#[track_caller]
fn equal_in(name: &str, hosted: &[Place], scripts: &[&str], prepare: impl Fn(&Scratch)) {
    same(&Scripts { name, start: START, normal: &[Inodes], hosted, scripts }, prepare);
}

#[test]
fn the_front_page() {
    equal_in(
        "bwrap-front",
        &[Place::Refused, Place::Confined],
        &[
            "bwrap --ro-bind / / true; echo $?",
            "bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --unshare-user --unshare-pid --unshare-uts --unshare-ipc --hostname box bash -c 'hostname; id -u; ls /tmp; ps -e -o comm='",
            "bwrap --ro-bind / / --tmpfs /tmp --bind $PWD $PWD sh -c 'ls /tmp; pwd' | m",
        ],
        |_| {},
    );
}

#[test]
fn binds() {
    equal(
        "bwrap-binds",
        &[
            "bwrap --bind / / cat w/file",
            "bwrap --ro-bind / / sh -c 'echo x >w/file; echo $?; cat w/file'",
            "bwrap --ro-bind / / --bind $W $W sh -c 'echo more >>w/file; echo x >other; echo $?'; cat w/file; ls",
            "bwrap --ro-bind / / --bind w /mnt sh -c 'cat /mnt/file; echo x >/mnt/new; ls /mnt'; ls w",
            "bwrap --ro-bind / / --ro-bind w /mnt sh -c 'cat /mnt/file; echo x >/mnt/new; ls /mnt; rm /mnt/file; mkdir /mnt/d; ln -s x /mnt/l; chmod 777 /mnt/file; touch -c /mnt/file'; ls w",
            "bwrap --ro-bind / / --bind-try nothing /mnt --ro-bind-try nothing /mnt --dev-bind-try nothing /mnt ls /mnt",
            "bwrap --ro-bind / / --bind nothing /mnt ls /mnt; bwrap --ro-bind / / --ro-bind w /nothing ls",
            "bwrap --ro-bind / / --dev-bind /dev /dev sh -c 'echo x >/dev/null; head -c3 /dev/zero | od -c; ls -l /dev/null | cut -c1-10'",
            "bwrap --ro-bind / / --bind /dev /dev sh -c 'echo x >/dev/null; head -c3 /dev/zero'",
            "bwrap --ro-bind / / --bind w/file /etc/hostname cat /etc/hostname",
            "bwrap --ro-bind / / --ro-bind w/file /etc/hostname sh -c 'echo x >/etc/hostname; cat /etc/hostname; rm /etc/hostname; mv /etc/hostname /etc/x'",
            "bwrap --ro-bind / / --bind $PWD $PWD --bind $W/file $W/other ls w; ls w",
            "mkdir a a/b; bwrap --ro-bind / / --bind $PWD $PWD --ro-bind $PWD/a $PWD/a --bind $PWD/a/b $PWD/a/b sh -c 'touch a/x; touch a/b/x; ls -R a'",
            "bwrap --ro-bind / / --tmpfs /tmp --bind w /tmp/deep/er cat /tmp/deep/er/file; bwrap --ro-bind / / --tmpfs /tmp --bind w /tmp/deep/er ls -R /tmp",
            "bwrap --ro-bind / / --ro-bind /dev/null /etc/passwd cat /etc/passwd",
            "bwrap --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 sh -c 'ls /; ls -l /bin; cat /etc/passwd'",
            "bwrap --ro-bind /usr /usr --ro-bind /bin /bin --ro-bind /lib /lib --ro-bind /lib64 /lib64 ls -a /",
            "bwrap --tmpfs / --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 sh -c 'pwd; ls /; touch /x; ls /'",
            "bwrap --bind / / --remount-ro / sh -c 'touch w/x'; bwrap --ro-bind / / --tmpfs /tmp --remount-ro /tmp touch /tmp/x; bwrap --ro-bind / / --remount-ro $W true; bwrap --ro-bind / / --remount-ro /usr true; echo $?",
            "exec 8<w; bwrap --ro-bind / / --bind-fd 8 /mnt ls /mnt; exec 8<w; bwrap --ro-bind / / --ro-bind-fd 8 /mnt touch /mnt/x",
            "bwrap --ro-bind / / --bind $W $W sh -c 'ln w/file w/hard && mv w/hard w/moved && ls w && ln w/file hard; mv w/file file; mv w v; rmdir w; rm -r w'; ls . w",
            "bwrap --ro-bind / / --bind w /mnt --bind w /media sh -c 'mv /mnt/file /media/x; ln /mnt/x /media/y; ls /mnt /media; stat -c %h /mnt/x'",
        ],
    );
}

#[test]
fn file_systems() {
    equal(
        "bwrap-file-systems",
        &[
            "$BOX sh -c 'touch /tmp/x; ls -A /tmp; stat -c %A /tmp/x; stat -c %a /tmp; stat -f -c %T /tmp; df --output=fstype /tmp'",
            "bwrap --ro-bind / / --dev /dev --size 65536 --tmpfs /tmp sh -c 'df --output=size /tmp'",
            "bwrap --ro-bind / / --perms 0700 --tmpfs /tmp stat -c %a /tmp; bwrap --ro-bind / / --perms 1777 --tmpfs /tmp stat -c %a /tmp",
            "$BOX ls /dev /dev/pts /dev/shm; $BOX ls -l /dev/fd /dev/stdin /dev/core /dev/ptmx | sed 's/.* \\//\\//'",
            "$BOX sh -c 'echo x >/dev/null; head -c4 /dev/zero | od -c; head -c4 /dev/full | od -c; echo >/dev/full; head -c8 /dev/urandom | wc -c; echo </dev/tty'",
            "$BOX sh -c 'echo a >/dev/stdout; echo b | cat /dev/stdin; echo x >/dev/shm/x; ls /dev/shm; touch /dev/x && echo made; rm /dev/null'",
            "$BOX python3 -c 'import pty,os; m,s=pty.openpty(); n=os.ttyname(s); print(n.rstrip(\"0123456789\")); os.write(s,b\"hi\"); print(os.read(m,2)); print(os.path.basename(n) in os.listdir(\"/dev/pts\"))'",
            "$BOX script -qc 'tty; echo hello' /dev/null | tr -d 0-9",
            "$BOX sh -c 'ls -d /proc/self/ && cat /proc/self/comm; readlink /proc/self/exe; grep -c . /proc/self/mounts >/dev/null && echo m'",
            "bwrap --ro-bind / / --unshare-pid --proc /proc sh -c 'ls /proc | grep ^1$; cat /proc/1/comm; readlink /proc/self | grep -c .'",
            "bwrap --ro-bind / / --unshare-pid --proc /mnt sh -c 'ls /mnt | grep ^1$; cat /mnt/1/comm'",
            "bwrap --ro-bind / / --dev /dev --mqueue /dev/mqueue true; bwrap --ro-bind / / --unshare-ipc --dev /dev --mqueue /dev/mqueue ls -A /dev/mqueue; true; bwrap --ro-bind / / --unshare-ipc --mqueue /mnt ls /mnt",
            "bwrap --ro-bind / / --tmpfs /tmp --dir /tmp/a/b --perms 0711 --dir /tmp/c stat -c '%n %a' /tmp/a /tmp/a/b /tmp/c",
            "exec 8<w/file; bwrap --ro-bind / / --tmpfs /tmp --file 8 /tmp/f sh -c 'cat /tmp/f; stat -c %a /tmp/f; echo x >/tmp/f && cat /tmp/f'",
            "exec 8<w/file; bwrap --ro-bind / / --bind-data 8 /etc/hostname sh -c 'cat /etc/hostname; echo x >/etc/hostname; cat /etc/hostname'",
            "exec 8<w/file; bwrap --ro-bind / / --perms 0444 --ro-bind-data 8 /etc/hostname sh -c 'cat /etc/hostname; echo x >/etc/hostname; stat -c %a /etc/hostname'",
            "bwrap --ro-bind / / --tmpfs /tmp --symlink /etc/hostname /tmp/link --symlink a/b /tmp/c/d sh -c 'readlink /tmp/link /tmp/c/d; cat /tmp/link | wc -l'",
            "bwrap --ro-bind / / --tmpfs /tmp --dir /tmp/d --chmod 0123 /tmp/d stat -c %a /tmp/d; bwrap --ro-bind / / --chmod 0700 /nothing true",
            "bwrap --ro-bind / / --tmpfs /tmp --lock-file /tmp/l true; touch w/l; bwrap --ro-bind / / --bind $W $W --lock-file $W/l python3 -c 'import fcntl; f=open(\"w/l\",\"r+\"); fcntl.lockf(f, fcntl.LOCK_EX|fcntl.LOCK_NB)' 2>&1 | tail -n1",
        ],
    );
}

#[test]
fn namespaces() {
    equal(
        "bwrap-namespaces",
        &[
            "bwrap --ro-bind / / --unshare-user sh -c 'id -u; id -g; cat /proc/self/uid_map /proc/self/setgroups'",
            "bwrap --ro-bind / / --unshare-user-try id -u",
            "bwrap --ro-bind / / --unshare-user --uid 0 --gid 0 sh -c 'id; cat /proc/self/uid_map /proc/self/gid_map'",
            "bwrap --ro-bind / / --unshare-user --uid 7 --gid 8 sh -c 'id -u; id -g; stat -c \"%u %g\" w/file /'",
            "bwrap --ro-bind / / --uid 7 id -u",
            "bwrap --ro-bind / / --unshare-uts --hostname box hostname; bwrap --ro-bind / / --hostname box hostname",
            "bwrap --ro-bind / / --unshare-ipc ipcs -m | wc -l",
            "bwrap --ro-bind / / --unshare-pid --proc /proc sh -c 'ps -e -o comm='",
            "bwrap --ro-bind / / --unshare-pid --as-pid-1 --proc /proc sh -c 'echo $$; ps -e -o comm='",
            "bwrap --ro-bind / / --unshare-pid --as-pid-1 true; bwrap --ro-bind / / --as-pid-1 true; echo $?",
            "bwrap --ro-bind / / --unshare-pid sh -c 'exit 7'; echo $?; bwrap --ro-bind / / --unshare-pid sh -c 'kill -9 $$'; echo $?",
            "unshare -Uru sh -c 'hostname inner; echo >w/fifo; exec sleep 1000' & P=$!; while ! test -e w/fifo; do sleep 0.05; done; bwrap --ro-bind / / --userns 9 sh -c 'id -u; cat /proc/self/uid_map' 9</proc/$P/ns/user; kill $P",
            "bwrap --ro-bind / / --userns 9 true 9</dev/null",
            "bwrap --ro-bind / / --unshare-user --disable-userns sh -c 'unshare -U true; true'",
            "bwrap --ro-bind / / --unshare-user --disable-userns --proc /proc sh -c 'id -u; unshare -Ur true; echo $?'",
            "bwrap --ro-bind / / --assert-userns-disabled true; bwrap --ro-bind / / --unshare-user --disable-userns --assert-userns-disabled true; echo $?",
            "bwrap --ro-bind / / --unshare-user sh -c 'readlink /proc/self/ns/user /proc/self/ns/mnt /proc/self/ns/uts'; readlink /proc/self/ns/user /proc/self/ns/uts",
            "bwrap --ro-bind / / --tmpfs /run --ro-bind /proc/self/ns/user /run/.userns --bind /proc/self/ns/uts /run/u sh -c 'stat -f -c %T /run/.userns; ls -l /run/.userns | cut -c1-10; ls -i /run/.userns /proc/self/ns/user | cut -d\" \" -f1 | uniq | wc -l; grep -c /run/u /proc/self/mountinfo; exec 8</run/u; readlink /proc/self/fd/8; nsenter --uts=/run/u true; echo $?'",
            "bwrap --ro-bind / / sh -c 'grep ^Cap /proc/self/status; grep NoNew /proc/self/status'",
            "bwrap --ro-bind / / --unshare-user --uid 0 --cap-add ALL grep ^Cap /proc/self/status",
            "bwrap --ro-bind / / --unshare-user --uid 0 --cap-add CAP_SYS_ADMIN --cap-add CAP_CHOWN grep ^Cap /proc/self/status",
            "bwrap --ro-bind / / --unshare-user --uid 0 --cap-add ALL --cap-drop CAP_SYS_ADMIN sh -c 'grep ^Cap /proc/self/status; mount -t tmpfs x /mnt'",
            "bwrap --ro-bind / / --unshare-user --uid 0 --cap-add CAP_SYS_ADMIN sh -c 'mount -t tmpfs x /mnt && touch /mnt/x && ls /mnt && umount /mnt && ls /mnt'",
        ],
    );
}

/// The number that bubblewrap waits for is sent from inside of the pid namespace, as credentials.
#[test]
fn namespaces_that_are_there() {
    // `$C` is the init of a pid namespace, with a user namespace of its own. Its parent `$P` may have
    // ended, and a `wait` may have taken it.
    const THERE: &str = "unshare -Urpf --kill-child --mount-proc sh -c 'echo >w/ready; exec sleep 1000' 2>w/said & P=$!; \
        while ! test -e w/ready; do sleep 0.05; done; C=$(pgrep -P $P); exec 9</proc/$C/ns/user 8</proc/$C/ns/pid; ";
    let scripts = [
        "bwrap --ro-bind / / --userns 9 --pidns 8 --proc /proc sh -c 'id -u; ps -e -o comm='; echo $?",
        "bwrap --ro-bind / / --userns 9 --pidns 8 sh -c 'exit 7'; echo $?; bwrap --ro-bind / / --userns 9 --pidns 8 sh -c 'kill -9 $$'; echo $?",
        "bwrap --ro-bind / / --userns 9 --pidns 8 --unshare-pid --proc /proc sh -c 'ps -e -o comm='; echo $?",
        "bwrap --ro-bind / / --userns 9 --pidns 8 --info-fd 7 true 7>info; n <info",
        "bwrap --ro-bind / / --userns 9 --pidns 8 sleep 9865 & B=$!; until pgrep -x sleep -a | grep -q 9865; do sleep 0.05; done; \
         kill -9 $C; wait $B; echo $?; pgrep -x sleep -a | grep -c 9865",
        "bwrap --ro-bind / / --userns 9 --userns2 9 --pidns 8 id -u; echo $?; bwrap --ro-bind / / --pidns 8 true; echo $?",
        "nsenter -U -p -t $C bwrap --ro-bind / / --pidns 8 --proc /proc sh -c 'id -u; ps -e -o comm='; echo $?",
    ]
    .map(|script| format!("{THERE}{script}; kill -9 $P 2>w/gone || true"));
    let scripts = scripts.each_ref().map(String::as_str);
    equal_in("bwrap-there", &[Place::Refused, Place::Confined], &scripts, |_| {});
}

#[test]
fn the_process() {
    equal(
        "bwrap-process",
        &[
            "printf '%s\\0' --ro-bind / / --setenv A b >a; bwrap --args 9 sh -c 'echo $A' 9<a",
            "bwrap --ro-bind / / --chdir /etc pwd; bwrap --ro-bind / / --chdir $W sh -c 'pwd; cat file' | m; bwrap --ro-bind / / --chdir /nothing pwd",
            "bwrap --ro-bind / / --tmpfs /tmp pwd; cd /; bwrap --ro-bind / / pwd; cd /usr/bin; bwrap --ro-bind / / pwd",
            "bwrap --ro-bind / / --clearenv --setenv PATH /usr/bin:/bin --setenv A b env; bwrap --ro-bind / / --unsetenv HOME sh -c 'echo $HOME'",
            "bwrap --ro-bind / / --info-fd 9 true 9>info; n <info; bwrap --ro-bind / / --unshare-pid --unshare-uts --info-fd 9 true 9>info; n <info",
            "bwrap --ro-bind / / --json-status-fd 9 sh -c 'exit 3' 9>info; n <info",
            "(sleep 0.3; echo x) | bwrap --ro-bind / / --block-fd 0 echo waited",
            "(sleep 0.3; echo x) | bwrap --ro-bind / / --unshare-user --userns-block-fd 0 echo waited",
            "bwrap --ro-bind / / --sync-fd 9 echo synced 9>w/sync",
            "bwrap --ro-bind / / --new-session python3 -c 'import os; print(os.getsid(0) in (os.getpid(), os.getppid()))'; bwrap --ro-bind / / --unshare-pid --new-session setsid -w echo x",
            "bwrap --ro-bind / / --die-with-parent sh -c 'echo alive'",
            "sh -c 'bwrap --ro-bind / / --unshare-pid --die-with-parent sleep 987$$ & echo $! >w/pid; left() { pgrep -ax sleep | grep \"sleep 987$$\"; }; until left; do :; done >/dev/null; kill -9 $(cat w/pid); for i in $(seq 99); do left || break; sleep 0.1; done >/dev/null; left | wc -l; true'",
            "python3 - <<'E'\nimport struct,subprocess,os\nARCH=0xc000003e\ni=lambda c,t,f,k: struct.pack('HBBI',c,t,f,k)\np=i(0x20,0,0,0)+i(0x15,0,1,83)+i(0x06,0,0,0x50000|13)+i(0x06,0,0,0x7fff0000)\nopen('w/bpf','wb').write(p)\nE\nbwrap --ro-bind / / --bind $W $W --seccomp 9 sh -c 'mkdir w/d; ls w' 9<w/bpf; bwrap --ro-bind / / --bind $W $W --add-seccomp-fd 9 --add-seccomp-fd 8 sh -c 'mkdir w/d; ls w' 9<w/bpf 8<w/bpf",
            "bwrap --ro-bind / / --exec-label x true; bwrap --ro-bind / / --file-label x --tmpfs /tmp true",
            "bwrap; bwrap --nonsense; bwrap --ro-bind / / nothing; echo $?; bwrap --ro-bind / / /etc; bwrap --ro-bind / / w/file; echo $?",
            "bwrap --version; bwrap --help | wc -l",
            "bwrap --ro-bind / / sh -c 'trap \"echo term; exit 5\" TERM; kill $$; sleep 1'; echo $?",
            "printf '#!/bin/sh\\necho script $0 $1\\n' >w/s; chmod +x w/s; bwrap --ro-bind / / --bind w /mnt /mnt/s arg; bwrap --ro-bind / / --bind w /mnt --chdir /mnt ./s arg",
        ],
    );
}

#[test]
fn nested() {
    equal(
        "bwrap-nested",
        &[
            "$BOX $BOX sh -c 'id -u; ls /tmp; touch /tmp/x; ls /tmp'",
            "$BOX $BOX $BOX sh -c 'id -u; touch /tmp/x; ls /tmp'",
            "$BOX --bind w /mnt bwrap --ro-bind / / --ro-bind /mnt /media sh -c 'cat /media/file; touch /media/x; touch /mnt/x; ls /mnt'; ls w",
            "$BOX --unshare-pid bwrap --ro-bind / / --unshare-pid --proc /proc ps -e -o comm=",
            "$BOX --unshare-user unshare -Ur sh -c 'id -u; mount -t tmpfs x /mnt; touch /mnt/x; ls /mnt'; ls /mnt",
            "$BOX --unshare-user sh -c 'unshare -Urm sh -c \"mount --bind /usr /mnt; ls /mnt | head -n1\"; ls /mnt'",
            "unshare -Urm sh -c 'mount -t tmpfs x /mnt; mkdir /mnt/a; bwrap --ro-bind / / --bind /mnt/a /media touch /media/x; ls /mnt/a'",
            "unshare -Ur bwrap --ro-bind / / --unshare-user id -u; unshare -Ur bwrap --ro-bind / / id -u",
        ],
    );
}

/// The command lines that programs build.
#[test]
fn users_of_it() {
    equal(
        "bwrap-users",
        &[
            // opam, without its --unshare-net.
            "bwrap --new-session --die-with-parent --proc /proc --dev /dev --bind $PWD /tmp --setenv TMPDIR /tmp --setenv TMP /tmp --tmpfs /run --ro-bind /usr /usr --ro-bind /bin /bin --ro-bind /lib /lib --ro-bind /lib64 /lib64 --ro-bind /etc /etc --ro-bind-try /opt /opt --bind $W $W sh -c 'ls /tmp; touch w/x; touch /usr/x; ls /run'; ls w",
            // Codex: read-only but for the workspace, whose .git stays read-only, files masked.
            "mkdir -p p/.git p/src; echo c >p/.git/config; bwrap --new-session --die-with-parent --ro-bind / / --dev /dev --bind $PWD/p $PWD/p --ro-bind $PWD/p/.git $PWD/p/.git --ro-bind /dev/null $PWD/p/secret --unshare-user --unshare-pid --proc /proc sh -c 'cd p; echo x >src/a; echo x >.git/config; cat secret; echo x >secret; ls -A; cat .git/config'; ls -A p",
            "mkdir p; bwrap --new-session --die-with-parent --bind / / --dev /dev --dev-bind /dev/null /etc/passwd --unshare-user --unshare-pid --unshare-ipc --proc /proc --chdir $PWD/p -- bash -c 'cat /etc/passwd; git init -q . && git status --short && echo x >f && git add f && git -c user.name=a -c user.email=b commit -qm m && git log --format=%s'",
            // Claude Code's sandbox-runtime.
            "mkdir -p p/.vscode h; bwrap --new-session --die-with-parent --setenv SANDBOX_RUNTIME 1 --setenv TMPDIR /tmp/claude --ro-bind / / --tmpfs /tmp --bind $PWD/p $PWD/p --ro-bind $PWD/p/.vscode $PWD/p/.vscode --dev /dev --unshare-pid --proc /proc -- bash -c 'echo $SANDBOX_RUNTIME; mkdir -p $TMPDIR; echo x >$TMPDIR/x; cd p; echo y >y; touch .vscode/x; ls -A . $TMPDIR; ls -d '$PWD'/h; python3 -c \"import tempfile; f=tempfile.NamedTemporaryFile(dir=\\\"/tmp\\\"); print(f.name[:5])\"' | m",
            "mkdir p; bwrap --ro-bind / / --bind $PWD/p $PWD/p --dev /dev --unshare-pid --proc /proc -- unshare -U sh -c 'cat /proc/self/setgroups; id -u'",
            // Flatpak and pressure-vessel.
            "bwrap --ro-bind /usr /usr --ro-bind /etc /etc --symlink usr/bin /bin --symlink usr/sbin /sbin --symlink usr/lib /lib --symlink usr/lib64 /lib64 --proc /proc --dev /dev --tmpfs /tmp --tmpfs /run --dir /run/user/1000 --dir /var/tmp --symlink ../run /var/run --bind w /app --ro-bind w /run/host --tmpfs /run/host/none --unshare-pid --unshare-ipc --unshare-user --disable-userns --die-with-parent --setenv XDG_RUNTIME_DIR /run/user/1000 --chdir /app sh -c 'ls /; pwd; cat file; cat /run/host/file; ls $XDG_RUNTIME_DIR; readlink /var/run; unshare -U true'; echo $?",
            "exec 8<w/file 7<w/file; bwrap --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 --proc /proc --dev /dev --perms 0600 --file 8 /.flatpak-info --ro-bind-data 7 /run/info --dir /app --remount-ro / sh -c 'cat /.flatpak-info /run/info; touch /app/x; stat -c %a /.flatpak-info'",
            // gemini-cli and others: the whole home hidden, the project given back.
            "mkdir -p home/p home/.ssh; echo key >home/.ssh/id; echo p >home/p/f; bwrap --bind / / --tmpfs $PWD/home --bind $PWD/home/p $PWD/home/p --unshare-pid --dev /dev --proc /proc sh -c 'ls -A home home/p; cat home/.ssh/id; echo z >home/p/z'; ls home/p",
        ],
    );
}

/// What is asked for a net namespace is refused, as by a kernel without them; natively it is granted, so
/// these are not compared.
#[test]
fn what_is_not_served() {
    let scratch = Scratch::new("bwrap-not-served");
    if !harness::is_root() || std::env::var_os("ANYNS_SELF_CHECK").is_some() {
        return;
    }
    for options in ["--unshare-net", "--unshare-all"] {
        let line = harness::Line::sh(&format!("bwrap --ro-bind / / {options} true"));
        let seen = harness::run(&scratch, Place::Refused, &line);
        // It takes EINVAL for a kernel without user namespaces.
        let said = "bwrap: Creating new namespace failed, likely because the kernel does not support \
                    user namespaces.";
        assert!(seen.stderr.starts_with(said), "{options}: {}", seen.stderr);
        assert_eq!(seen.status, 1, "{options}");
    }
}
