//! Cgroup namespaces on a host that refuses them: what programs print is what they print where the
//! kernel grants them. Who moves between cgroups is in the scenarios (`cgroup.scn`).

mod harness;

use harness::Place;
use harness::normal::Normal;
use harness::same::{Scripts, same};

/// `c` makes a cgroup namespace of the user's own, `cm` a mount namespace besides; `roots` shows which
/// cgroups are mounted.
const START: &str = "exec 2>&1; c() { unshare -UrC sh -c \"$1\"; }; \
    cm() { unshare -UrCm sh -c \"$1\"; }; \
    cat >roots <<'E'\n\
    sed 's/ \\([^ ]*:[0-9]* \\)*- / - /' /proc/self/mountinfo | grep -E -- ' - cgroup2? ' | cut -d' ' -f4-6,8-\n\
    E\n\
    chmod 755 roots; ";

#[track_caller]
fn equal(name: &str, scripts: &[&str]) {
    let hosted = &[Place::Refused];
    same(&Scripts { name, start: START, normal: &[Normal::Inodes], hosted, scripts }, |scratch| {
        scratch.file("statmount.py", include_str!("guests/statmount.py"));
    });
}

#[test]
fn where_one_is() {
    equal(
        "cgroups-paths",
        &[
            "c 'cat /proc/self/cgroup /proc/1/cgroup /proc/thread-self/cgroup'",
            "c './roots; unshare -m ./roots'; sh ./roots",
            "cat >twice.py <<'E'\n\
             import os\n\
             child = os.fork()\n\
             if not child: os._exit(0)\n\
             os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)\n\
             print(open(f'/proc/{child}/cgroup').read())\n\
             E\n\
             c 'python3 twice.py'",
            "c 'unshare -C sh -c \"cat /proc/self/cgroup; readlink /proc/self/ns/cgroup\"; cat /proc/self/cgroup; readlink /proc/self/ns/cgroup'",
            "unshare -C true; echo $?; unshare -Ur sh -c 'unshare -C true; echo $?; echo 0 >/proc/sys/user/max_cgroup_namespaces; unshare -C true; echo $?'",
            "c 'tail -c 2 /proc/self/mountinfo | wc -c; cd /proc/self; tail -1 cgroup; cat /proc/self/cgroup | wc -l'",
        ],
    );
}

#[test]
fn who_joins() {
    equal(
        "cgroups-joined",
        &[
            "c 'readlink /proc/self/ns/cgroup >n; mkfifo f; echo >f & sleep 9 & P=$!; nsenter -t $P -C cat /proc/self/cgroup; kill $P'",
            "unshare -UrCpf --mount-proc sh -c 'lsns -t cgroup -n -o TYPE,NPROCS; nsenter -t 1 -a cat /proc/self/cgroup'",
            "unshare -UrC sh -c 'sleep 9 & P=$!; nsenter -t $P -a cat /proc/self/cgroup; kill $P'",
            "cat >joins.py <<'E'\n\
             import ctypes, os\n\
             libc = ctypes.CDLL(None, use_errno=True)\n\
             first = os.open('/proc/self/ns/cgroup', os.O_RDONLY)\n\
             print(libc.unshare(0x02000000), len(os.readlink('/proc/self/ns/cgroup')))\n\
             print(libc.setns(first, 0x02000000), ctypes.get_errno())\n\
             print(libc.setns(os.open('/proc/self/ns/cgroup', os.O_RDONLY), 0), libc.setns(first, 0x20000), ctypes.get_errno())\n\
             E\n\
             c 'python3 joins.py'",
        ],
    );
}

#[test]
fn what_is_mounted() {
    equal(
        "cgroups-mounted",
        &[
            "cm 'mount -t cgroup2 none /mnt && ./roots | grep /mnt; findmnt -no FSTYPE,FSROOT /mnt; stat -f -c %T /mnt; ls /mnt | grep -c cgroup.procs; umount /mnt; ls /mnt | grep -c cgroup.procs'",
            "cm 'mount -t cgroup2 none /mnt; for o in nsdelegate nonsense ro; do mount -t cgroup2 -o $o x /mnt >/dev/null; echo $?; done; ./roots | grep /mnt'",
            // Version 1, where it is there.
            "cm 'for o in memory name=systemd cpu cpu,memory none,name=foo foo xattr; do mount -t cgroup -o $o x /mnt >/dev/null; echo $o $?; done; mount -t cgroup x /mnt >/dev/null; echo $?; ./roots | grep /mnt; grep -c \" /mnt \" /proc/self/mounts'",
            "unshare -Urm mount -t cgroup2 none /mnt | sed 's/dmesg.*//'; c 'mount -t cgroup2 none /mnt' | sed 's/dmesg.*//'",
            "cm 'mount -t cgroup2 none /mnt; python3 $GUESTS/statmount.py everything'",
            "cm 'mount -t cgroup2 none /mnt; mkdir /mnt/anyns-none; echo $?; echo 0 >/mnt/cgroup.procs; echo $?; unshare -C ./roots | grep /mnt'",
        ],
    );
}

#[test]
fn sandboxes() {
    equal(
        "cgroups-sandboxes",
        &[
            "bwrap --ro-bind / / --dev /dev --proc /proc --unshare-user --unshare-pid --unshare-cgroup sh -c 'cat /proc/self/cgroup; ./roots'",
            "bwrap --ro-bind / / --unshare-user --unshare-cgroup-try --unshare-ipc --unshare-uts cat /proc/self/cgroup",
            "exec 9>info; bwrap --ro-bind / / --unshare-user --unshare-cgroup --info-fd 9 true; grep -c cgroup-namespace info",
        ],
    );
}
