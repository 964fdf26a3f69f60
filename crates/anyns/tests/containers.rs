//! Container runtimes: runc from its first call to its last, and Charliecloud.

mod harness;

use harness::Place;
use harness::same::{Scripts, same};

/// `bundle DIR COMMAND` makes a bundle of a busybox root, in the namespaces that are served, with the
/// caller as its root; `within DIR` takes the user namespace out of it again.
const START: &str = r##"exec 2>&1; export HOME=$PWD USER=me XDG_RUNTIME_DIR=$PWD/run
    mkdir -p -m 700 run; mkdir -p root/bin root/proc root/dev root/sys root/tmp root/etc root/run root/mnt root/home root/var/tmp root/usr/bin root/lib
    cp /bin/busybox root/bin; for a in sh ls cat id mount hostname echo ps touch rm sleep wc mkdir; do ln -s busybox root/bin/$a; done
    touch root/etc/passwd root/etc/group root/etc/hosts root/etc/resolv.conf root/etc/machine-id
    cat >edit.py <<'END'
import json, os, sys
c = json.load(open('config.json'))
c['process'].update(terminal=False, args=['/bin/sh', '-c', sys.argv[1]])
c['root'] = {'path': os.path.abspath('../root'), 'readonly': False}
c['hostname'] = 'box'
c['mounts'] = [m for m in c['mounts'] if not m['destination'].startswith('/sys')]
served = ('pid', 'ipc', 'uts', 'mount', 'user')
c['linux']['namespaces'] = [{'type': t} for t in served]
ids = lambda n: [{'containerID': 0, 'hostID': n, 'size': 1}]
c['linux'].update(uidMappings=ids(os.getuid()), gidMappings=ids(os.getgid()))
json.dump(c, open('config.json', 'w'))
END
    r() { runc --rootless=true --root $HOME/runc "$@" 2>&1 | sed 's/time="[^"]*"/now/'; }
    bundle() { mkdir $1; (cd $1; runc spec --rootless; python3 ../edit.py "$2"); }
    within() { python3 -c "import json; f = '$1/config.json'; c = json.load(open(f)); l = c['linux']
del l['uidMappings'], l['gidMappings']; l['namespaces'].remove({'type': 'user'}); json.dump(c, open(f, 'w'))"; }
"##;

#[track_caller]
fn equal(name: &str, scripts: &[&str]) {
    let hosted = &[Place::Refused, Place::Confined];
    same(&Scripts { name, start: START, normal: &[], hosted, scripts }, |_| {});
}

/// Runc copies what a container writes and what it complains about by two threads: in which order
/// they come is not told.
#[test]
fn runc() {
    equal(
        "containers-runc",
        &[
            "bundle b 'id; hostname; ls /; ps >/tmp/p; wc -l </tmp/p; rm /tmp/p; cat /proc/self/uid_map /proc/1/comm; mount | wc -l; touch /tmp/x && ls -ln /tmp; ls /dev | wc -l; cat /proc/kcore 2>/dev/null | wc -c; touch /proc/sys/kernel/x 2>&1; exit 5' && r run --no-new-keyring -b b c; r list | wc -l; ls -ln root/tmp",
            "bundle b 'trap \"echo bye; exit 3\" TERM; echo up; while :; do sleep 0.1; done'; runc --rootless=true --root $HOME/runc create --no-new-keyring -b b c >out </dev/null; r list | awk '{print $1, $3}'; r start c; \
             while ! grep -q up out; do sleep 0.1; done; r state c | grep -E '\"(id|status)\"'; \
             r exec c sh -c 'id; hostname; cat /proc/1/comm; ls /proc/self/ns | wc -l; ls /proc/self/fd | wc -l'; \
             r exec -e A=b --cwd /tmp c sh -c 'echo $A; pwd; exit 9'; r exec -d --pid-file pid c /bin/sleep 0.2; wc -l pid; \
             r kill c TERM; while ! grep -q bye out; do sleep 0.1; done; while r state c | grep -q running; do sleep 0.1; done; cat out; r state c | grep -E '\"(id|status)\"'; r delete c; r list | wc -l",
            "bundle b true; sed -i 's,/bin/sh,/bin/none,' b/config.json; r run --no-new-keyring -b b c; bundle d true; sed -i 's/\"readonly\": false/\"readonly\": true/' d/config.json; r run --no-new-keyring -b d c; ls root; r delete none",
        ],
    );
}

/// Crun looks at how control groups are mounted, whatever becomes of them; so that it is the same
/// everywhere, nothing is there. `ps` writes a file: at the end of a pipe is one more, or not yet.
#[test]
fn crun() {
    let crun = "unshare -Urm sh -c 'mount -t tmpfs t /sys/fs/cgroup; crun --cgroup-manager=disabled run --no-new-keyring -b b c; echo $?'";
    let looks = "bundle b 'id; hostname; ls /; ps >/tmp/p; wc -l </tmp/p; rm /tmp/p; cat /proc/self/uid_map /proc/1/comm; mount | grep -v cgroup | wc -l; touch /tmp/x && ls -ln /tmp; ls -ln /dev | cut -c1-10 | grep -v total; cat /proc/keys /proc/timer_list; touch /proc/sys/kernel/x; exit 5'; within b; ";
    let readonly = "bundle b 'touch /x; id -u'; within b; ";
    equal(
        "containers-crun",
        &[
            &format!("{looks}{crun}"),
            &format!(
                "{readonly}sed -i 's/\"readonly\": false/\"readonly\": true/' b/config.json; {crun}"
            ),
        ],
    );
}

#[test]
fn charliecloud() {
    equal(
        "containers-charliecloud",
        &[
            "ch-checkns | tail -n1; ch-run -w root -- sh -c 'id -u; ls /; cat /proc/self/uid_map; touch /home/x; ls -ln /home; exit 4'; echo $?",
            "ch-run -u 0 -g 0 -b /usr:/mnt root -- sh -c 'id -u; ls /mnt | wc -l; touch /a; cd /tmp && echo x >f && cat f'; ch-run --set-env=A=b --cd=/usr root -- sh -c 'echo $A; pwd'; ls root/tmp",
        ],
    );
}
