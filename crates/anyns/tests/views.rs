//! `unshare -m`, `mount`, `chroot`, `pivot_root` and `nsenter`: a view of its own, as natively.
//!
//! Each case is a shell script, run by the same ordinary user in each place.

mod harness;

use harness::normal::Normal;
use harness::same::{Scripts, same};
use harness::{Line, Place, Scratch, is_root, roots, run};

/// `mns` goes on as root in mount and user namespaces of its own; `i` shows what is mounted below a
/// path, without numbers of mounts.
const START: &str = "exec 2>&1; mkdir -p w d; echo text >w/file; W=$PWD/w; D=$PWD/d; G=$GUESTS; \
    export W D G; mns() { unshare -Urm \"$@\"; }; \
    i() { grep \" $1\" /proc/self/mountinfo | cut -d' ' -f4-6,8-; }; ";

#[track_caller]
fn equal(name: &str, scripts: &[&str]) {
    equal_in(name, &[Place::Refused], scripts);
}

#[track_caller]
fn equal_in(name: &str, hosted: &[Place], scripts: &[&str]) {
    same(&Scripts { name, start: START, normal: &[Normal::Inodes], hosted, scripts }, roots::make);
}

#[test]
fn mounts() {
    equal_in(
        "views-mounts",
        &[Place::Refused, Place::Confined],
        &[
            "mns sh -c 'mount -t tmpfs t /mnt && touch /mnt/x && ls /mnt; mount | grep /mnt | cut -d, -f1; findmnt -n -o FSTYPE,SOURCE /mnt; umount /mnt; ls /mnt'; ls /mnt",
            "mns sh -c 'mount -t tmpfs -o size=64k,mode=700 t $D && stat -c \"%a %U\" $D; df --output=size $D'; ls d",
            "mns sh -c 'mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys; touch /proc/sys/x; mkdir /proc/sys/kernel/y /proc/sys/kernel; ln -s a /proc/sys/z; echo x >/proc/sys/kernel/hostname; rm /proc/sys/kernel/hostname /proc/sys/kernel/none; rmdir /proc/sys/kernel; mv /proc/sys/kernel /proc/sys/x; mkfifo /proc/sys/f; echo a >/proc/sys/kernel/none'",
            "mns sh -c 'mount --bind $W /mnt; ls /mnt; echo more >>/mnt/file; mount -o remount,bind,ro /mnt; echo x >/mnt/file; cat /mnt/file; touch $W/y; ls /mnt'",
            "mns sh -c 'mount --bind $W/file $D; mount --bind $W/file /etc/hostname; cat /etc/hostname; echo x >>/etc/hostname; umount /etc/hostname; cat w/file'",
            "mns sh -c 'mount --rbind / /mnt; ls /mnt/usr | head -n1; cat /mnt$W/file; ls -d /mnt/proc/self; umount -l /mnt; ls /mnt'",
            "mns sh -c 'mount -t tmpfs t $D; mkdir $D/a $D/b; mount --bind $W $D/a; mount --move $D/a $D/b; ls $D/a $D/b; umount $D; umount $D/b $D; ls $D'",
            "mns sh -c 'mount --bind w d; mount -t tmpfs t w; ls d w; touch w/x; ls d w; umount w d; ls d w'",
            "mns sh -c 'mount -o bind,ro w d; touch d/x; mount -o remount,bind,rw d; touch d/x; ls d; mount -o remount,bind,noexec,nosuid,nodev d; cp /bin/true d; d/true; grep -o \" $D [a-z,]*\" /proc/self/mountinfo'",
            "mkdir a b c; (cd a; mns python3 $GUESTS/parted.py 0x20000); (cd c; unshare -Ur python3 $GUESTS/parted.py 0x20000 | sed s,$PWD,TOP,); (cd b; mns python3 $GUESTS/parted.py 0x200)",
            "mns sh -c 'mount --bind /proc/self/ns/uts $W/file; umount -l w/file; cat w/file; mount --bind /proc/self/ns/uts w/file; mount --bind /proc/self/ns/ipc w/file; umount w/file; stat -fc %T w/file; umount w/file; umount w/file'",
            "mns sh -c 'touch f; mount --bind /proc/self/ns/uts f; python3 $GUESTS/nsfiles.py'",
            "mns sh -c 'mount -t nothing t d; mount -t tmpfs -o nonsense t d; mount w/nothing d -o bind; umount d; umount w/file; mount --move w d'",
            "mns sh -c 'cd d; mount -t tmpfs t .; ls -a; pwd; touch x; ls . $D; cd .; ls; cd $D; ls; umount $D; cd /; umount $D; ls $D'",
            "mns sh -c 'mount -t tmpfs t d; exec 8<d; cd d; mkdir e; cd e; umount $D; umount -l $D; pwd; touch x && ls; ls $D; ls /proc/self/fd/8/; ls ..'",
            "mns sh -c 'mount -t tmpfs t d; cd d; mkdir -p a/b/c; ln -s a/b l; ln -s $D/a abs; ln -s ../../../../../../../etc up; cd l/c; pwd; pwd -P; ls $D/abs $D/l/.. ; head -c0 $D/up/passwd && echo up; readlink -f $D/l/c ../../../l | sed s,.*home,H,'",
            "mns sh -c 'mount -t tmpfs t d; cd d; echo a >f; ln f g; ln -s f s; mkdir m; mv f m/; chmod 640 g; chown 0:0 g; touch -d @1 g; truncate -s 10 g; stat -c \"%n %a %s %h %F\" g s m/f; mkfifo p; mknod q p; rm g; rmdir m; ls -l | cut -c1-10 | grep -v total; rm -r m; ls; ln $W/file x; mv $W/file y; ls . $W; cp -a /etc/hostname h; test -s h && echo h'",
            "mns sh -c 'mount -t proc p d; ls d | grep -c self; mount -t sysfs s d && ls d | head -n1; mount -t devpts p d; ls d; python3 -c \"import os; print([(e.name, e.is_symlink(), e.is_dir()) for e in os.scandir(chr(100))])\"; find d -type c; mount -t ramfs r d; touch d/x; ls d; mount -t mqueue m d; ls d'",
            "mns python3 -c 'import os; os.chdir(\"d\"); os.mkdir(\"a\"); os.chdir(\"a\"); os.rmdir(\"../a\"); print(os.path.exists(\"/proc/self/cwd\"), os.readlink(\"/proc/self/cwd\")[-11:]); os.getcwd()' 2>&1 | tail -n2",
            "mns sh -c 'mount -t tmpfs t d; python3 -c \"import socket,os; s=socket.socket(socket.AF_UNIX); s.bind(\\\"d/s\\\"); s.listen(); c=socket.socket(socket.AF_UNIX); c.connect(\\\"d/s\\\"); print(os.listdir(\\\"d\\\"))\"; ls d'; ls d",
            "mns sh -c 'mount -t tmpfs t d; (cd d; git init -q g; cd g; echo x >x; git add x; git -c user.name=a -c user.email=b commit -qm m; git log --format=%s; git status --short); tar -C d -cf w/t.tar g; tar -tf w/t.tar | head -n1; find d -maxdepth 2 -newer w/file | sort | head -n3'",
        ],
    );
}

#[test]
fn renamed_by_others() {
    const INSIDE: &str = "mkdir w/hidden; echo secret >w/hidden/s; mkfifo f g; mns sh -c '\
        mount -t tmpfs t w/hidden; cat w/hidden/s; echo >f; read -r _ <g; ls w; cat w/renamed/s w/*/s; \
        echo x >w/renamed/t; ls w/renamed; mv w/renamed w/again; echo >f; read -r _ <g; \
        ls w w/hidden; umount w/hidden; ls w/hidden' & read -r _ <f;";
    let by = |first: &str, second: &str| {
        format!("{INSIDE} {first}; echo >g; read -r _ <f; {second}; echo >g; wait; ls w/hidden")
    };
    let scripts = [
        by("mv w/hidden w/renamed", "mv w/renamed/ w/hidden"),
        by("mns sh -c 'mount -t tmpfs t d; mv w/hidden w/renamed'", "mns mv w/renamed w/hidden"),
        by(
            "mkdir w/renamed; python3 -c 'import ctypes; ctypes.CDLL(None).renameat2(-100, b\"w/hidden\", -100, b\"w/renamed\", 2)'",
            "rmdir w/hidden; mv w/renamed w/hidden",
        ),
    ];
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    equal_in("views-renamed", &[Place::Refused, Place::Confined], &scripts);
}

#[test]
fn messages() {
    equal_in(
        "views-messages",
        &[Place::Refused, Place::Confined],
        &["mns sh -c 'mount -t tmpfs t d; cd d; python3 -B $G/messages.py'"],
    );
}

#[test]
fn fifos() {
    equal_in(
        "views-fifos",
        &[Place::Refused, Place::Confined],
        &["mns sh -c 'mount -t tmpfs t d; cd d; timeout 20 python3 -B $G/fifo.py'"],
    );
}

#[test]
fn trees_in_no_namespace() {
    equal_in(
        "views-trees",
        &[Place::Refused, Place::Confined],
        &[
            "mns sh -c 'mount -t tmpfs t d; cd d; python3 -B $G/trees.py'",
            "cd w; mns python3 -B $G/trees.py; find . | sort",
        ],
    );
}

#[test]
fn mapped_files() {
    equal_in(
        "views-mapped",
        &[Place::Refused, Place::Confined],
        &["mkdir w/tmp w/over; cd w; mns python3 -B $G/mapped.py"],
    );
}

#[test]
fn deep_directories() {
    equal_in(
        "views-deep",
        &[Place::Refused, Place::Confined],
        &[
            "mns sh -c 'mount -t tmpfs t d; cd d; python3 -B $G/deep.py'",
            "mns sh -c 'mount --bind w d; cd d; python3 -B $G/deep.py'; ls w",
        ],
    );
}

#[test]
fn writers() {
    equal_in(
        "views-writers",
        &[Place::Refused, Place::Confined],
        &["mns python3 -B $G/writers.py"],
    );
}

#[test]
fn queues_are_files() {
    equal_in(
        "views-queues",
        &[Place::Refused, Place::Confined],
        &["unshare -Urmi sh $G/queues.sh d"],
    );
}

#[test]
fn where_a_program_runs_from() {
    equal_in(
        "views-cloned",
        &[Place::Refused, Place::Confined],
        &[
            "mns python3 -B $G/cloned.py first $(realpath /usr/bin/python3) $PWD/clone | sed s,$PWD,TOP,",
            "unshare -Urmpf python3 -B $G/masks.py",
        ],
    );
}

/// Where calls are stopped, the thread for which everybody stands waits for nobody: not for the dead, of
/// whom somebody serves a call.
#[test]
fn killed_while_they_part() {
    equal_in(
        "views-killed",
        &[Place::Refused, Place::Confined],
        &["unshare -Ur timeout 60 python3 -B $G/killed_apart.py 3"],
    );
}

/// Landlock binds whoever opens a file, which is not its guest where the mounts are the guest's own.
#[test]
fn landlocked() {
    let hosted = &[Place::Refused, Place::Confined];
    equal_in("views-landlocked", hosted, &["cd w; python3 -B $G/landlocked.py"]);
    let scratch = Scratch::new("views-landlock");
    let guest = scratch.file("landlocked.py", include_str!("guests/landlocked.py"));
    let script = format!("mount -t tmpfs t /mnt; python3 -B {} version", guest.display());
    for &place in hosted {
        if is_root() {
            let outcome =
                run(&scratch, place, &Line::sh(&format!("unshare -Urm sh -c '{script}'")));
            assert_eq!(outcome.stdout, "ENOTSUP\n", "{place:?}: {}", outcome.text());
        }
    }
}

/// Docker's filter has no fanotify_init(2) for who may not administer the machine.
#[test]
fn handles_and_marks() {
    equal_in(
        "views-handles",
        &[Place::Refused],
        &[
            "mns sh -c 'mount -t tmpfs t d; mount --bind w w; cd w; python3 -B $G/handles.py all; cd $D; python3 -B $G/handles.py'",
        ],
    );
}

#[test]
fn a_full_file_system() {
    equal_in(
        "views-full",
        &[Place::Refused, Place::Confined],
        &["mns sh -c 'mount -t tmpfs -o nr_inodes=6 x d; cd d; sh $G/full.sh'"],
    );
}

#[test]
fn readonly() {
    equal_in(
        "views-readonly",
        &[Place::Refused, Place::Confined],
        &[
            "mkdir w/dir; mns sh -c 'mount --bind w w; R=\"python3 -B $G/readonly.py $W\"; $R; mount -o remount,bind,ro w; $R; mount -o remount,bind,rw w; $R'",
            "mkdir w/dir; mns python3 -B $G/readonly.py $W; python3 -B $G/readonly.py $W",
        ],
    );
}

#[test]
fn propagation() {
    const N: &str = "| sed \"s/:[0-9][0-9]*/:N/g\"";
    let scripts: Vec<String> = [
        "for p in private shared slave unchanged; do unshare -Urm --propagation $p sh -c 'head -n1 /proc/self/mountinfo | cut -d\" \" -f7'; done",
        "mns sh -c 'mount --make-shared /; grep -c shared /proc/self/mountinfo; mount --bind w w; mount --make-shared w; mount --bind w d; mount -t tmpfs t w; mount | grep -c tmpfs.on.$D; touch w/x; ls d; i $D; umount d; ls w'",
        "mns sh -c 'mount --bind w w; mount --make-shared w; mount --bind w d; mount --make-slave d; mkdir w/s; mount -t tmpfs t d/s; touch d/s/x; ls w/s; mount -t tmpfs t w/s; touch w/s/y; ls d/s; grep -o \"shared:[0-9]*\\|master:[0-9]*\" /proc/self/mountinfo | wc -l'",
        "mns sh -c 'mount --bind w w; mount --make-unbindable w; mount --bind w d; mount --make-rprivate /; mount --bind w d && ls d'",
        "mns sh -c 'mount --bind w w; mount --make-shared w; mkdir w/s; mkfifo f g; unshare -m --propagation slave sh -c \"mount -t tmpfs t w/s; touch w/s/in; echo >f; read -r _ <g\" & read -r _ <f; ls w/s; echo >g; wait; mount -t tmpfs t w/s; touch w/s/x; ls w/s'",
        "mns sh -c 'mkdir p; mount --bind p p; mount --make-private p; touch p/m; for i in 1 2 3 4 5; do unshare --mount=p/m sh -c \"mount -t tmpfs t d; touch d/x\" 2>/dev/null && break; done; nsenter --mount=p/m ls $D; ls d; nsenter --mount=p/m readlink /proc/self/ns/mnt | cut -c1-5; umount p/m; nsenter --mount=p/m ls $D'",
        "unshare -Urm sh -c 'mount -t tmpfs t d; touch d/x; echo >w/ready; exec sleep 100' & until test -e w/ready; do sleep 0.1; done; nsenter -U -m --preserve-credentials -t $! sh -c 'ls d; pwd; touch d/y'; nsenter -U -m -r -w --preserve-credentials -t $! ls d; ls d; kill $!",
    ]
    .iter()
    .map(|script| format!("{{ {script}; }} {N}"))
    .collect();
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    equal("views-propagation", &scripts);
}

#[test]
fn another_root() {
    equal_in(
        "views-root",
        &[Place::Refused, Place::Confined],
        &[
            "unshare -Ur chroot $G/glibc /bin/ls /",
            "unshare -Ur chroot $G/glibc /bin/bash -c 'cd /; cd ..; pwd; ls; echo /*; cat /etc/passwd; cat /../etc/passwd'",
            "unshare -Ur chroot $G/busybox /bin/sh -c 'ls /; id -u; cat /etc/passwd; script x; cd /bin/../..; pwd; find / -name passwd; ls -l /bin/sh; vi --help 2>&1 | head -n1'",
            "unshare -Ur chroot $G/musl /bin/sh -c 'ls /; facts a; echo $PATH; readlink /bin/sh'",
            "unshare -Ur --root=$G/glibc /bin/ls /; unshare -Ur --root=$G/glibc --wd=/bin /bin/pwd; unshare -Urm -pf --root=$G/busybox sh -c 'mount -t proc p /proc; ls -d /proc/self; mount; umount /proc; ls /proc'; unshare -Ur --wd=/usr/bin pwd",
            "unshare -Ur chroot $G/nothing ls; unshare -Ur chroot $W/file ls; chroot $G/glibc ls; unshare -Ur chroot $G/glibc nothing; echo $?",
            "unshare -Ur chroot $G chroot glibc /bin/ls /; unshare -Ur chroot $G/glibc /bin/sh -c 'mkdir -p /tmp/in/bin; cp /bin/facts-static /tmp/in/bin/f; chroot /tmp/in /bin/f; rm -r /tmp/in'",
            "mns sh -c 'mount --bind $G/glibc $G/glibc; cd $G/glibc; pivot_root . old; exec chroot . /bin/sh -c \"ls /; ls /old | /bin/grep -c usr; ls -d /old/usr; cat /old/../etc/passwd; pwd; cd ..; ls\"'",
            "mns sh -c 'mount --bind $G/glibc $G/glibc; mount --rbind /proc $G/glibc/proc; cd $G/glibc; pivot_root . .; umount -l .; exec /bin/sh -c \"ls /; pwd; cd /bin; ls ls; /bin/grep -c proc /proc/self/mountinfo\"'",
            "mns sh -c 'mount -t tmpfs t /mnt; cd /mnt; mkdir old; cp -r $G/busybox/bin bin 2>/dev/null; mkdir proc; mount --rbind /proc proc; pivot_root . old; umount -l /old; rmdir /old; ls /; mount | cut -d\" \" -f1-5; touch /x; ls -l /proc/self/root /proc/self/exe | sed \"s/.*-> //\"'",
            "mns sh -c 'mount -t tmpfs t /mnt; cd /mnt; pivot_root . nothing; mkdir old; pivot_root / old; pivot_root old .; cd /; pivot_root /usr /usr/bin; ls /mnt'",
            "mns sh -c 'mount --rbind / /mnt; exec chroot /mnt sh -c \"pwd; ls -d /proc/self; readlink /proc/self/root /proc/self/cwd /proc/self/exe; cat $W/file\"'",
            "mns sh -c 'mount --bind $G/glibc /mnt; cd /mnt; exec python3 -c \"import os; os.chroot(\\\".\\\"); print(os.listdir(\\\"/\\\") == os.listdir(\\\".\\\")); print(os.path.exists(\\\"/usr/bin/python3\\\")); os.chdir(\\\"..\\\"); print(os.getcwd(), sorted(os.listdir(\\\"..\\\"))[:3])\"'",
            "unshare -Ur python3 -c 'import os; f=os.open(\".\",0); os.chroot(\"d\"); print(os.getcwd()); os.chdir(\"w\"); print(os.listdir(\".\")); os.fchdir(f); print(os.listdir(\"w\")); os.chdir(\"/\"); print(os.listdir(\".\"), os.getcwd())'",
        ],
    );
}

/// Nothing outside is seen, whatever is tried.
#[test]
fn ways_out() {
    equal(
        "views-ways-out",
        &[
            "unshare -Ur chroot $G/busybox /bin/sh -c 'cd /../../..; ls; ls /..; cat /../../etc/hostname; mkdir -p /tmp/a/b; cd /tmp/a/b; mv /tmp/a/b /tmp/c; ls ../..; rm -r /tmp/a /tmp/c'",
            "exec 9<w; unshare -Ur chroot $G/busybox /bin/sh -c 'ls /proc/self/fd/9/; cat /proc/self/fd/9/file; ls /dev/fd/9; cd /proc/self/fd/9'",
            "exec 9<w; mns sh -c 'mount --rbind /proc $G/busybox/proc; exec chroot $G/busybox /bin/sh -c \"ls /proc/self/fd/9/; ls /proc/self/fd/9/../d; cat /proc/self/root/etc/passwd; ls /proc/self/root/; ls /proc/1/root/\"'",
            "mns sh -c 'mount --rbind /proc $G/busybox/proc; exec chroot $G/busybox /bin/sh -c \"ln -s /etc/hostname /tmp/l; cat /tmp/l; rm /tmp/l; cat /proc/self/cwd/../../../../etc/hostname; cat /proc/self/task/../root/etc/hostname\"'",
        ],
    );
}
