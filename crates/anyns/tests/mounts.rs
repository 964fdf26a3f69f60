//! mount(8) and its like print on a host that refuses namespaces what they print where the kernel grants
//! them, and nothing of a mount is left on the host when it has gone.

mod harness;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use harness::normal::Normal;
use harness::same::{Scripts, same};
use harness::{Line, Place, Scratch, command, is_root, run_at};

use Normal::Inodes;

/// `u` makes a mount namespace of the user's own, `m` takes out where that is.
const START: &str = "exec 2>&1; mkdir -p d e; u() { unshare -Urm sh -c \"$1\"; }; \
    m() { sed \"s,$PWD,HOME,g\"; }; ";

#[track_caller]
fn equal(name: &str, scripts: &[&str]) {
    let hosted = &[Place::Refused];
    same(&Scripts { name, start: START, normal: &[Inodes], hosted, scripts }, |_| {});
}

#[test]
fn file_systems() {
    equal(
        "mounts-types",
        &[
            "u 'mount -t tmpfs x d; echo hi >d/f; cat d/f; ls -A d; stat -c \"%a %u %g\" d; umount d; ls -A d'",
            "u 'mount -t tmpfs -o size=1m,mode=700,nr_inodes=50 x d; stat -c %a d; stat -f -c \"%T %b %c %S\" d; df --output=size,fstype d; findmnt -no FSTYPE,OPTIONS d'",
            "u 'for o in size=1x mode=9 uid=5 foo nr_inodes=-1 size=; do mount -i -t tmpfs -o $o x d >/dev/null; echo $o $?; done'",
            "u 'mount -t ramfs r d; touch d/x; stat -c %a d; findmnt -no FSTYPE,OPTIONS,SOURCE d'",
            "u 'mount -t tmpfs -o ro x d; touch d/x; mount -o remount,rw d; touch d/x; ls d; mount -o remount,bind,ro d; touch d/y; ls d'",
            "u 'mount -t tmpfs x d; mount -o remount,size=2m,noexec,nosuid d; findmnt -no OPTIONS d; printf \"#!/bin/sh\\necho ran\\n\" >d/p; chmod 755 d/p; d/p'",
            "u 'mount -t sysfs s d; mount -t ext4 s d; mount -t nofs s d; mount -t cgroup2 s d' | sed 's/dmesg.*//'",
            "unshare -Urmpf sh -c 'mount -t proc p d; ls d | head -1; cat d/1/comm; findmnt -no FSTYPE,SOURCE d; mount -t proc p d; echo $?'",
            "unshare -Urm --ipc sh -c 'mount -t mqueue q d; ls -A d; findmnt -no FSTYPE,SOURCE,OPTIONS d'",
            "u 'mount -t devpts -o newinstance,ptmxmode=0666,mode=620 p d; ls d; findmnt -no FSTYPE,OPTIONS d'",
            "u 'mount -t devpts -o newinstance,mode=0620 p d; cd d; s() { stat -c \"%n %a %u %g %t %T %F %h %s\" \"$@\"; }; s . ptmx; chmod 666 ptmx; chown 0:0 ptmx . && s ptmx; chmod 4777 ptmx; s ptmx; chmod 700 .; s .; mount -o remount,ptmxmode=600 ../d; s ptmx'",
            "u 'mount -t devpts p d; cd d; mkdir ptmx; mkdir x; mkdir x/; ln -s a b; ln -s a ptmx; ln ptmx c; ln /etc/hostname c; mknod d p; mknod ptmx p; >e; rm ptmx; rm none; rmdir ptmx; rmdir none; mv ptmx f; mv ptmx ptmx; mv none f; >>ptmx; mount -o remount,ro .; mkdir x; rm ptmx; >e; chmod 600 ptmx; mkdir ptmx; ls'",
            "u 'mount -t devpts -o newinstance,mode=0620 p d; cd d; python3 -c \"
import fcntl, os, struct
mode = lambda stat: oct(stat.st_mode)
master = os.open(\\\"ptmx\\\", os.O_RDWR | os.O_NOCTTY)
number = str(struct.unpack(\\\"i\\\", fcntl.ioctl(master, 0x80045430, bytes(4)))[0])
print(len(os.listdir(\\\".\\\")), mode(os.stat(number)), os.stat(number).st_uid)
os.chmod(number, 0o666); os.chown(number, 0, 0); print(mode(os.stat(number)), mode(os.stat(\\\"ptmx\\\")))
os.fchmod(master, 0o640); print(mode(os.stat(\\\"ptmx\\\")), mode(os.fstat(master)))
os.utime(\\\"ptmx\\\", (1, 2)); print(os.stat(\\\"ptmx\\\").st_mtime, os.fstat(master).st_mtime)
os.close(master); print(os.listdir(\\\".\\\"))
try: os.setxattr(\\\"ptmx\\\", \\\"user.a\\\", bytes(1))
except OSError as error: print(error)
\"'",
        ],
    );
}

/// The calls that tell of mounts one by one: what they say is what `mountinfo` and statx(2) say.
#[test]
fn mounts_are_told_of_one_by_one() {
    const MADE: &str = "mount -t tmpfs -o size=64k,mode=755 'my src' /mnt; mkdir /mnt/b '/mnt/x y'; \
        mount -t tmpfs -o strictatime,noexec,nosuid 'a,b' /mnt/b; mount --make-shared /mnt/b; mkdir '/mnt/b/x y' /mnt/b/z; \
        mount --bind '/mnt/b/x y' /mnt/b/z; mount --make-slave /mnt/b/z; mount --make-shared /mnt/b/z; mkdir /mnt/b/z/u; \
        mount -t ramfs none /mnt/b/z/u; mount --make-unbindable /mnt/b/z/u; mount --bind /mnt/b /media; \
        mount -o remount,bind,ro,nodev,noatime /media; mount -t tmpfs -o ro over /media; ";
    const ROOT: &str = "mount -t tmpfs t /mnt; mkdir /mnt/r /mnt/b; mount --rbind / /mnt/r; mount -t tmpfs o /mnt/b; ";
    const BARE: &str = "setpriv --inh-caps=-all --bounding-set=-all";
    let scripts = [
        "unshare -Urm sh -c \"MADE python3 $GUESTS/statmount.py everything\"",
        "unshare -Urm sh -c \"MADE python3 $GUESTS/statmount.py lists; python3 $GUESTS/statmount.py errors\"",
        "unshare -Urm python3 $GUESTS/statmount.py everything; unshare -Urm python3 $GUESTS/statmount.py lists",
        "unshare -Urmpf --mount-proc python3 $GUESTS/statmount.py everything",
        "unshare -Urm unshare -Um python3 $GUESTS/statmount.py lists",
        "unshare -Ur python3 $GUESTS/statmount.py errors",
        "python3 $GUESTS/statmount.py lists",
        "unshare -Urm python3 $GUESTS/statmount.py namespaces",
        "mkfifo go end; unshare -Urm sh -c \"python3 $GUESTS/statmount.py number / >numbers; echo >go; read _ <end\" & \
            read _ <go; python3 $GUESTS/statmount.py namespaces $(cat numbers); echo >end; wait",
        "unshare -Urm sh -c \"MADE BARE python3 $GUESTS/statmount.py namespaces; unshare -m python3 $GUESTS/statmount.py namespaces \\$(python3 $GUESTS/statmount.py number /)\"",
        "unshare -Urm sh -c \"ROOT n=\\$(python3 $GUESTS/statmount.py number /mnt/b); chroot /mnt/r python3 $GUESTS/statmount.py outside \\$n; \
         chroot /mnt/r BARE python3 $GUESTS/statmount.py outside \\$n; chroot /mnt/r python3 $GUESTS/statmount.py everything\"",
        "bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /mnt python3 $GUESTS/statmount.py everything",
    ]
    .map(|script| script.replace("MADE", MADE).replace("ROOT", ROOT).replace("BARE", BARE));
    let scripts = scripts.each_ref().map(String::as_str);
    let hosted = &[Place::Refused, Place::Confined];
    let guest = |scratch: &Scratch| {
        scratch.file("statmount.py", include_str!("guests/statmount.py"));
    };
    let name = "mounts-one-by-one";
    same(&Scripts { name, start: "", normal: &[Inodes], hosted, scripts: &scripts }, guest);
}

#[test]
fn binds_and_moves() {
    equal(
        "mounts-binds",
        &[
            "u 'echo 1 >d/f; mount --bind d e; cat e/f; echo 2 >e/g; cat d/g; umount e; ls e d'",
            "u 'mkdir d/sub; mount -t tmpfs t d/sub; touch d/sub/t; mount --bind d e; ls e/sub; umount e; mount --rbind d e; ls e/sub; umount e; umount -R e; ls e'",
            "u 'mount --make-rprivate /; mount -t tmpfs t d; touch d/t; mount --move d e; ls d e; findmnt -no TARGET e' | m",
            "u 'touch d/f e/g; mount --bind d/f e/g; echo x >e/g; cat d/f; rm e/g; mv e/g e/h; umount e/g; rm e/g; ls e'",
            "u 'mount --bind -o ro d e; touch e/x; touch d/x; ls e'",
            "u 'mount --bind d d; mount --make-shared d; mkdir d/a; mount --bind d e; mount -t tmpfs t d/a; findmnt -rno TARGET,PROPAGATION | tail -4' | m",
            "u 'mount -t tmpfs t d; mkdir d/a d/b; mount --bind d/a d/b; cd d/b; umount .; echo $?; umount ../b; echo $?; pwd' | m",
            "u 'mount --bind nothing d; mount --bind d nothing; mount --bind d/. e; ls -ld e | cut -c1-10; umount nothing; umount /proc'",
            "mkdir d/deep; echo x >d/deep/f; u 'mount --bind d/deep e; cd e; cat f; cat ../d/deep/f; ls ..; readlink -f .; pwd -P' | m",
        ],
    );
}

#[test]
fn busy_and_lazy() {
    equal(
        "mounts-busy",
        &[
            "u 'mount -t tmpfs t d; exec 3>d/f; umount d; echo $?; exec 3>&-; umount d; echo $?'",
            "u 'mount -t tmpfs t d; cd d; umount ../d; echo $?; cd ..; umount d; echo $?'",
            "u 'mount -t tmpfs t d; mkdir d/a; mount -t tmpfs t d/a; umount d; echo $?; umount -l d; ls d'",
            "u 'mount -t tmpfs t d; echo x >d/f; exec 3<d/f; umount -l d; ls d; cat <&3'",
            "u 'mount -t tmpfs t d; rmdir d; mkdir d/x; rmdir d/x; mv d y; rm -r d; ls -d d'",
        ],
    );
}

#[test]
fn roots() {
    equal(
        "mounts-roots",
        &[
            "u 'mount -t tmpfs t d; mkdir d/old; cp -r /usr/bin/true d/ 2>/dev/null; cd d; pivot_root . old; ls /; umount -l old; ls /; pwd' | m",
            "u 'mount --bind / d; cd d; pivot_root . mnt; cd /; ls -d /mnt/usr /usr; umount -l /mnt; ls /mnt; pwd'",
            "u 'mount --rbind / d; cd d; pivot_root . .; umount -l .; cd /; ls -d usr; cat /proc/self/comm; pwd'",
            "u 'chroot / sh -c \"pwd; ls -d /usr\"'",
            "u 'mkdir d/usr d/proc; mount --rbind /usr d/usr; for l in bin lib lib64; do ln -s usr/$l d/$l; done; chroot d sh -c \"pwd; ls /; cd /usr; ls -d ..; cd ../..; pwd; ls\"'",
            "unshare -Urm --root=/ --wd=/usr pwd",
        ],
    );
}

#[test]
fn texts() {
    equal(
        "mounts-texts",
        &[
            "u 'mount -t tmpfs \"a b\" d; mkdir \"d/x y\"; mount -t tmpfs t \"d/x y\"; tail -2 /proc/self/mounts; tail -1 /proc/self/mountstats' | m",
            "u 'mount -t tmpfs -o ro,nosuid t d; mount | tail -1; findmnt -no TARGET,SOURCE,FSTYPE,OPTIONS d; umount d; findmnt d; echo $?' | m",
            "u 'mount -t tmpfs t d; mkdir d/a; mount --bind d/a e; findmnt -no SOURCE,FSROOT e'",
            "u 'mount -t tmpfs -o size=64k t d; df d | tail -1; head -c 20000 /dev/zero >d/f; df --output=used,avail d | tail -1' | m",
        ],
    );
}

// ---- nothing is left ---------------------------------------------------------------------------

/// The stores that lie in a directory, which the command was told is for passing things.
fn stores(home: &Path) -> Vec<PathBuf> {
    let me = rustix::process::geteuid().as_raw();
    let user = format!("anyns-{}", if is_root() { harness::UID } else { me });
    let all = fs::read_dir(home.join(user)).into_iter().flatten().flatten();
    all.map(|entry| entry.path()).collect()
}

fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How many file systems a store holds.
fn rooms(store: &Path) -> usize {
    fs::read_dir(store).map(|all| all.count()).unwrap_or(0)
}

#[test]
fn a_mount_goes_from_the_host_with_its_last_reference() {
    let scratch = Scratch::new("mounts-left");
    let home = scratch.fresh_home();
    let script = "mkdir d e; unshare -Urm sh -c '
        mount -t tmpfs t d; echo x >d/f; mount --bind d e; echo made; read _;
        umount d; echo one; read _; umount e; echo none; read _;
        mount -t tmpfs t d; mount -t tmpfs t e; : >d/f; echo two; read _'; echo out; read _";
    let mut hosted = command(&scratch, Place::Hosted, &Line::sh(script), &home);
    hosted.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = hosted.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut store = PathBuf::new();
    for (word, left) in [("made", 1), ("one", 1), ("none", 0), ("two", 2), ("out", 0)] {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        assert_eq!(line.trim_end(), word);
        if word == "made" {
            let found = stores(&home);
            assert_eq!(found.len(), 1, "{found:?}");
            store = found[0].clone();
            assert_eq!(fs::metadata(&store).unwrap().mode() & 0o777, 0o700);
        }
        until(word, || rooms(&store) == left);
        std::io::Write::write_all(&mut input, b"\n").unwrap();
    }
    assert!(child.wait().unwrap().success());
    until("the store", || !store.exists());
}

#[test]
fn what_a_kill_leaves_is_swept() {
    let scratch = Scratch::new("mounts-kill");
    let home = scratch.fresh_home();
    let script = "mkdir -p d; unshare -Urm sh -c 'mount -t tmpfs t d; mkdir d/a; echo x >d/a/f; chmod 0 d/a; echo made; exec sleep 1000'";
    for victims in
        [["cli"].as_slice(), &["supervisor"], &["watchdog"], &["supervisor", "watchdog", "cli"]]
    {
        let mut hosted = command(&scratch, Place::Hosted, &Line::sh(script), &home);
        hosted.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = hosted.spawn().unwrap();
        let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        assert_eq!(line.trim_end(), "made");
        let found = stores(&home);
        assert_eq!(found.len(), 1, "{found:?}");
        let cli = child.id() as i32;
        let below = |pid: i32| -> i32 {
            let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
            list.split_whitespace().next().unwrap().parse().unwrap()
        };
        let supervisor = below(cli);
        let watchdog = below(supervisor);
        for victim in victims {
            let pid = match *victim {
                "cli" => cli,
                "supervisor" => supervisor,
                _ => watchdog,
            };
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        let _ = child.wait();
        if victims.len() > 1 {
            // Nobody is left to sweep but the next one.
            std::thread::sleep(Duration::from_millis(500));
            run_at(&scratch, Place::Hosted, &Line::new(["true"]), &home);
        }
        until(&format!("{victims:?}"), || !found[0].exists());
    }
}
