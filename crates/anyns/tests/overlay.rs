//! Overlays: what they show and what becomes of their layers, as natively.

mod harness;

use std::time::{SystemTime, UNIX_EPOCH};

use harness::normal::Normal;
use harness::same::{Scripts, same};
use harness::{Place, roots};

/// `o` mounts an overlay of `l1` over `l2` with the upper layer `u` on `m`; its arguments are more options.
/// `all` lists directories as far as that is the same everywhere: whiteouts have other numbers of links,
/// and the work directory is the host's own.
const START: &str = "exec 2>&1; mns() { unshare -Urm \"$@\"; }; G=$GUESTS; export G; \
    mkdir l1 l2 u w m l1/d l2/d l1/only; echo one >l1/f; echo two >l2/g; echo a >l1/d/a; echo b >l2/d/b; \
    ln -s f l1/s; echo x >l1/only/x; \
    cat >o <<'END'\n\
    o() { mount -t overlay overlay -o lowerdir=l1:l2,upperdir=u,workdir=w$1 m; }\n\
    all() { for one; do (cd $one && find . ! -name . | sort | while read -r name; do \
    stat -c '%A %u %s %n' \"$name\" | sed '/^[cd]/s/ [0-9]* \\./ ./'; done); done; }\n\
END\n";

#[track_caller]
fn equal(name: &str, scripts: &[String]) {
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    let hosted = &[Place::Refused, Place::Confined];
    same(
        &Scripts { name, start: START, normal: &[Normal::Inodes], hosted, scripts: &scripts },
        roots::make,
    );
}

/// The same with `o` and `all`, in namespaces of its own.
#[track_caller]
fn equal_inside(name: &str, scripts: &[&str]) {
    let inside = |script: &&str| format!("mns sh -c '. ./o; {script}'");
    equal(name, &scripts.iter().map(inside).collect::<Vec<_>>());
}

#[test]
fn what_an_overlay_shows() {
    equal_inside(
        "overlay-shows",
        &[
            "o; grep -o \"overlay overlay .*\" /proc/self/mountinfo; all m; cat m/f m/g m/d/* m/s; stat -f -c %T m; findmnt -n -o FSTYPE m; df m | tail -n1 | cut -d\" \" -f1; umount m; all u",
            "o ,userxattr; stat -c \"%h %n\" m m/d m/only m/f; mount --bind m/d d2 2>/dev/null; mkdir d2; mount --bind m/d d2; ls d2; touch d2/new; ls m/d; readlink -f d2/../m/s | sed s,.*/,,; umount d2 m; all u",
            "mount -t overlay o -o lowerdir=l1:l2 m; grep -o \"overlay o .*\" /proc/self/mountinfo; ls m; touch m/x; rm m/f; mkdir m/f; chmod 600 m/f; echo x >>m/f; mount -o remount,rw m; touch m/x",
            "o; cd m/d; ls; pwd | sed s,.*/m,m,; cd ..; ls; cd only; rm -r ../only; ls; pwd | sed s,.*/m,m,; touch x; cd ..; ls",
            "o; mount -t tmpfs t m/d; touch m/d/x; ls m/d; mv m/d m/e; rmdir m/d; umount m/d; ls m/d; mount --bind m/g m/f; cat m/f; rm m/f; grep -c \"m/f \" /proc/self/mountinfo; umount m/f; cat m/f; umount m",
            "o; exec 8<m; umount m; exec 8<&-; umount m; ls m; exec 8<l1/f; o; python3 -c \"import subprocess; f = open(\\\"m/f\\\"); print(subprocess.run([\\\"umount\\\", \\\"m\\\"]).returncode); f.close(); print(subprocess.run([\\\"umount\\\", \\\"m\\\"]).returncode)\"",
            "cp /bin/true l1/t; o; m/t && echo ran; cp /bin/echo m/e; m/e copied; chmod -x m/t; m/t; mount -o remount,bind,noexec m; m/e no",
            "o ,userxattr; python3 -c \"import os; os.setxattr(\\\"m/f\\\", \\\"user.a\\\", b\\\"1\\\"); print(os.listxattr(\\\"m/f\\\"), [n for n in os.listxattr(\\\"l1/f\\\")]); rm = os.rmdir(\\\"m/d\\\") if 0 else None\"; rm -r m/d; mkdir m/d; python3 -c \"import os; print(os.listxattr(\\\"m/d\\\"), os.getxattr(\\\"u/d\\\", \\\"user.overlay.opaque\\\"))\"; ls m/d",
            "o; python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.bind(\\\"m/d/s\\\"); s.listen(); c = socket.socket(socket.AF_UNIX); c.connect(\\\"m/d/s\\\"); print(s.accept()[0].send(b\\\"x\\\"))\"; all m u",
            "o; python3 -c \"import os; f = os.open(\\\"m/d\\\", os.O_TMPFILE | os.O_RDWR, 0o644); os.write(f, b\\\"made\\\"); os.link(f\\\"/proc/self/fd/{f}\\\", \\\"m/d/made\\\")\"; cat m/d/made; all u",
        ],
    );
}

#[test]
fn changes_go_up() {
    equal_inside(
        "overlay-changes",
        &[
            "o; echo more >>m/f; cat m/f l1/f u/f; rm m/g; all u; cat m/g; mkdir m/g; rm -r m/d; all u; ls m/d; mkdir m/d; mv m/only m/only2; all m u l1 l2",
            "o ,userxattr; rm m/g; mkdir m/g; touch m/g/x; rm -r m/d; mkdir m/d; ls -A m/d; mkdir m/new; echo q >m/new/q; mv m/new m/new2; mv m/new2 m/d/; mv m/only m/only2; all m u l1 l2; umount m; o ,userxattr; all m",
            "o; ln m/f m/h; echo x >>m/h; cat m/f; ln -s none m/l; mknod m/p p; mknod m/w c 0 0; chmod 640 m/d/a; touch -d @5 m/d/b; truncate -s 1 m/only/x; stat -c \"%Y %n\" m/d/b; all u",
            "o; mv m/f m/d/f; mv m/s m/t; mv -f m/g m/d/a; mv m/d/b m/only/x; all m u; mv m/d m/e; python3 -c \"import os; os.rename(\\\"m/d\\\", \\\"m/e\\\")\" 2>&1 | tail -n1; all m u",
            "o; cp -a l1 m/copy; rm -rf m/copy/d; mv m/copy m/copied; all m u; rm -r m/copied; all u; tar -C m -cf t.tar .; tar -tf t.tar | sort; git init -q m/r; cd m/r; echo x >x; git add x; git -c user.name=a -c user.email=b commit -qm m; git status --short; git log --format=%s",
            "mount -t overlay o -o lowerdir=/etc:l1,upperdir=u,workdir=w m; echo x >m/hostname; touch m/new; rm m/hostname; chmod 600 m/passwd; mv m/passwd m/p; head -c0 m/shadow; chown 0 m/passwd; touch -d @1 m/passwd; rm m/profile.d/*; all u",
            "chmod 1777 l1/d; ln l1/f l1/h; mount -t overlay o -o lowerdir=/tmp:/etc:l1,upperdir=u,workdir=w m; rm -f m/passwd; mv m/passwd m/p; mount -t overlay o -o lowerdir=l1:l2,upperdir=u,workdir=w m; rm m/d/a; mv m/h m/f; ls m; cat m/f; all u",
            "mount -t tmpfs t l2; mkdir l2/u l2/w l2/l; echo inner >l2/l/f; mount -t overlay o -o lowerdir=l2/l:l1,upperdir=l2/u,workdir=l2/w m; cat m/f; rm m/f; echo again >m/f; rm m/d/a; all m l2/u l2/l",
        ],
    );
}

/// A lower layer is never changed, whatever descriptor of it somebody has.
#[test]
fn what_is_below_stays() {
    equal_inside(
        "overlay-below",
        &[
            "o; exec 8<m/f; exec 9<&8; echo x >>/proc/self/fd/9; cat l1/f m/f; echo y >/proc/self/fd/8; cat l1/f m/f",
            "o; exec 8<m/f; exec 9<&8; exec 8<&-; mount -t tmpfs t l1; echo x >/proc/self/fd/9; cat m/f; umount l1; cat l1/f; ls u",
            "o; exec 8<m/f 7<m/d/a; mount --bind m /mnt; cd /mnt; pivot_root . . 2>/dev/null; umount -l . 2>/dev/null; python3 -c 1 2>/dev/null; echo x >>/proc/self/fd/8; echo $?; true",
            "o; python3 -c \"import os; f = os.open(\\\"m/f\\\", 0); os.fchmod(f, 0o600); os.utime(f, (1, 2)); os.setxattr(f, \\\"user.a\\\", b\\\"b\\\"); g = os.dup2(f, 700); os.fchmod(g, 0o640); print(oct(os.fstat(f).st_mode), oct(os.stat(\\\"l1/f\\\").st_mode), oct(os.stat(\\\"m/f\\\").st_mode), os.listxattr(\\\"l1/f\\\"))\"",
            "o; python3 -c \"import os; f = os.open(\\\"m/d\\\", 0); os.fchmod(f, 0o700); print(oct(os.fstat(f).st_mode), oct(os.stat(\\\"l1/d\\\").st_mode)); os.unlink(\\\"a\\\", dir_fd=f); print(os.listdir(f), os.listdir(\\\"l1/d\\\")); os.mkdir(\\\"new\\\", dir_fd=f); print(sorted(os.listdir(f)), os.listdir(\\\"u/d\\\") != [])\"",
            "mkdir hid u2 w2; echo secret >hid/s; mount -t tmpfs t hid; unshare -Urm sh -c \"mount -t overlay o -o lowerdir=.:l1,upperdir=u2,workdir=w2 m; mount -t overlay o -o lowerdir=u:l2,upperdir=u2,workdir=w2 m && ls m\"; mount -t overlay o -o lowerdir=.:l2 m && ls m/hid; mount -t overlay o -o lowerdir=/ m",
            "mount -t tmpfs t m; mkdir m/l m/k; echo in >m/l/f; mount -t overlay o -o lowerdir=m/l:m/k w; umount m; ls m; cat w/f; umount w; ls w",
            "o; python3 -c \"import os; n = [os.open(p, f, 0o644) for p, f in ((\\\"m/f\\\", 0), (\\\"m/g\\\", 2), (\\\"m/new\\\", 66), (\\\"m/d/a\\\", 1))]; print([(os.readlink(f\\\"/proc/self/fd/{i}\\\").split(\\\"/home/\\\")[1], os.fstat(i).st_dev == os.stat(\\\"m\\\").st_dev) for i in n]); [os.fchmod(i, 0o600) for i in n]\"; all m u l1",
            "o; exec 8<m/f; python3 -c \"import os; os.makedirs(\\\"many\\\"); [os.mkdir(f\\\"many/{i}\\\") or os.close(os.open(f\\\"many/{i}\\\", 0)) for i in range(17000)]\"; exec 9<&8; mount -t tmpfs t l1; echo x >/proc/self/fd/9; umount l1; cat l1/f; ls u",
            "o; exec 8<m/f; rm m/f; echo other >m/f; { echo x >>/proc/self/fd/8; } 2>/dev/null; cat m/f l1/f; python3 -c \"import os; os.fchmod(8, 0o600)\" 2>/dev/null; stat -c %a m/f l1/f; cat u/f",
            // What of a layer is opened by its own path is that, whoever has opened it through the overlay.
            "o; python3 -c \"import os; opened = {p: os.open(p, 0) for p in (\\\"m/f\\\", \\\"l1/f\\\")}; shown = lambda: print([oct(os.stat(p).st_mode) for p in (\\\"m/f\\\", \\\"l1/f\\\")], os.listdir(\\\"u\\\")); os.fchmod(opened[\\\"l1/f\\\"], 0o600); os.utime(opened[\\\"l1/f\\\"], (1, 2)); shown(); os.fchmod(opened[\\\"m/f\\\"], 0o640); shown()\"",
            "o; python3 -c \"import os; opened = {p: os.open(p, 0) for p in (\\\"l1/f\\\", \\\"m/f\\\")}; shown = lambda: print([oct(os.stat(p).st_mode) for p in (\\\"m/f\\\", \\\"l1/f\\\")], os.listdir(\\\"u\\\")); os.fchmod(opened[\\\"l1/f\\\"], 0o600); os.utime(opened[\\\"l1/f\\\"], (1, 2)); shown(); os.fchmod(opened[\\\"m/f\\\"], 0o640); shown()\"",
            "o; ln m/f outside; ln l1/f m/inside; mv l1/f m/f; ls m l1 | tr \"\\n\" \" \"",
        ],
    );
}

#[test]
fn what_is_no_overlay() {
    let options = [
        "lowerdir=l1",
        "lowerdir=l1,upperdir=u",
        "lowerdir=l1,workdir=w",
        "upperdir=u,workdir=w",
        "lowerdir=l1,upperdir=u,workdir=u",
        "lowerdir=l1,upperdir=u,workdir=u/x",
        "lowerdir=l1,upperdir=w,workdir=w/in",
        "lowerdir=l1,upperdir=l1,workdir=w",
        "lowerdir=l1,upperdir=l1/d,workdir=w",
        "lowerdir=l1:l1,upperdir=u,workdir=w",
        "lowerdir=l1:l1/d",
        "lowerdir=none,upperdir=u,workdir=w",
        "lowerdir=l1/f,upperdir=u,workdir=w",
        "lowerdir=,upperdir=u,workdir=w",
        "lowerdir",
        "lowerdir=l1::l2,upperdir=u,workdir=w",
        "lowerdir=l1:,upperdir=u,workdir=w",
        "lowerdir=l1,upperdir=u,workdir=w,redirect_dir=on",
        "lowerdir=l1,upperdir=u,workdir=w,redirect_dir=nofollow,metacopy=off,index=on,xino=auto,uuid=off",
        "lowerdir=l1,upperdir=u,workdir=w,metacopy=on",
        "lowerdir=l1,upperdir=u,workdir=w,userxattr,metacopy=on",
        "lowerdir=l1,upperdir=u,workdir=w,default_permissions,fsync=strict",
        "lowerdir=l1,upperdir=u,workdir=w,nonsense",
        "lowerdir+=l1,lowerdir+=l2,upperdir=u,workdir=w",
        "lowerdir=l1,upperdir=u,workdir=w,ro",
        "lowerdir=/proc,upperdir=u,workdir=w",
        "lowerdir=l1,upperdir=/proc,workdir=w",
    ];
    let tried = options.map(|options| {
        format!("mount -t overlay overlay -o '{options}' m && {{ grep -o 'overlay overlay .*' /proc/self/mountinfo; ls m; umount m; }};")
    });
    let script =
        format!("mkdir w/in; mns sh -c \"{}\" | grep -v dmesg", tried.concat().replace('\'', ""));
    equal("overlay-none", &[script]);
}

/// As many random changes as the kernel's own overlay answers alike.
#[test]
fn random_changes() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    println!("overlay: fresh seeds {now} and {}", now + 1);
    let run = |seed: u64, options: &str| {
        format!("rm -r *; mns python3 -B $G/overlay.py {seed} 600 '{options}'")
    };
    let scripts = [
        run(1, ",userxattr"),
        run(2, ""),
        run(7, ",userxattr"),
        run(8, ",userxattr"),
        run(70, ""),
        run(now, ",userxattr"),
        run(now + 1, ""),
    ];
    equal("overlay-random", &scripts);
}
