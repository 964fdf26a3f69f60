"""The calls that Bazel's linux-sandbox and Nix's builder make, in their order, each with its result.

Run as `calls.py bazel DIR` or `calls.py nix DIR`, in an empty directory of the caller's."""

import ctypes
import os
import socket
import stat
import sys

libc = ctypes.CDLL(None, use_errno=True)

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, NOATIME = 1, 2, 4, 8, 32, 1024
BIND, REC, PRIVATE, SHARED, SLAVE = 4096, 16384, 1 << 18, 1 << 20, 1 << 19
DETACH = 2
SIGCHLD = 17


def text(path):
    return None if path is None else path.encode()


def said(name, result):
    error = ctypes.get_errno() if result == -1 else 0
    print(name, os.strerror(error) if error else "ok", flush=True)
    return result


def mount(source, target, kind, flags, data=None, name=None):
    result = libc.mount(text(source), text(target), text(kind), ctypes.c_ulong(flags), text(data))
    return said(name or f"mount {kind or ''} {target} {flags:#x}", result)


def umount(target, flags):
    return said(f"umount {target}", libc.umount2(text(target), flags))


def pivot_root(new, old):
    return said(f"pivot_root {new} {old}", libc.syscall(155, text(new), text(old)))


def write(path, words):
    try:
        with open(path, "w") as file:
            file.write(words)
        print("write", os.path.basename(path), "ok", flush=True)
    except OSError as error:
        print("write", os.path.basename(path), error.strerror, flush=True)


def clone(flags):
    sys.stdout.flush()
    child = libc.syscall(56, flags | SIGCHLD, None, None, None, None)
    if child == -1:
        said("clone", -1)
        sys.exit(1)
    return child


def wait(child):
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def show(path):
    for name in sorted(os.listdir(path)):
        print("  ", name, stat.filemode(os.lstat(os.path.join(path, name)).st_mode), flush=True)


def bazel(top):
    """linux-sandbox, not hermetic."""
    work = os.path.join(top, "work")
    os.makedirs(work)
    os.makedirs(os.path.join(top, "scratch"))
    uid, gid = os.getuid(), os.getgid()
    child = clone(NEWUSER | NEWNS | NEWIPC | NEWPID | NEWUTS)
    if child:
        wait(child)
        print("left", sorted(os.listdir(work)))
        return
    assert os.getpid() == 1
    os.setpgid(0, 0)
    mount(None, "/", None, REC | PRIVATE)
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{uid} {uid} 1\n")
    write("/proc/self/gid_map", f"{gid} {gid} 1\n")
    print("ids", os.getuid() == uid, os.getgid() == gid)
    socket.sethostname("localhost")
    print(socket.gethostname())
    scratch = os.path.join(top, "scratch")
    mount("tmpfs", scratch, "tmpfs", NOSUID | NODEV | NOATIME, name="tmpfs")
    mount("/etc/hostname", "/etc/hostname", None, BIND | REC)
    mount(work, work, None, BIND, name="bind work")
    failed = 0
    with open("/proc/self/mounts") as mounts:
        lines = [line.split() for line in mounts]
    for _, at, _, options, *_ in lines:
        words = options.split(",")
        flags = BIND | REMOUNT
        for word, flag in (("nosuid", NOSUID), ("nodev", NODEV), ("noexec", NOEXEC)):
            if word in words:
                flags |= flag
        if at not in (work, scratch):
            flags |= RDONLY
        at = at.replace("\\040", " ")
        if libc.mount(text(at), text(at), None, ctypes.c_ulong(flags), None) == -1:
            failed += ctypes.get_errno() not in (1, 2, 13, 19, 22, 116)
    print("remounts failed", failed)
    mount("/proc", "/proc", "proc", REC | BIND | NODEV | NOEXEC | NOSUID)
    os.chdir(work)
    program = """
        touch out; touch /etc/out; touch /usr/out; cat /etc/hostname | wc -l; pwd -P | grep -c work
        echo x >../scratch/x; ls ../scratch; hostname; id -u >/dev/null; sh -c 'exit 3'; echo $?"""
    inner = os.fork()
    if not inner:
        os.setpgid(0, 0)
        os.umask(0o22)
        os.execvp("sh", ["sh", "-c", program])
    wait(inner)
    sys.stdout.flush()
    os._exit(0)


def nix(top):
    """The builder of a local store, old mount calls."""
    store, root = os.path.join(top, "store"), os.path.join(top, "root")
    os.makedirs(os.path.join(store, "dep"))
    os.makedirs(root)
    with open(os.path.join(store, "dep", "file"), "w") as file:
        file.write("dependency\n")
    go, ready = os.pipe(), os.pipe()
    uid, gid = os.getuid(), os.getgid()
    child = clone(NEWUSER | NEWNS | NEWIPC | NEWPID | NEWUTS)
    if child:
        write(f"/proc/{child}/setgroups", "deny")
        write(f"/proc/{child}/uid_map", f"1000 {uid} 1")
        write(f"/proc/{child}/gid_map", f"100 {gid} 1")
        spaces = [os.open(f"/proc/{child}/ns/{kind}", os.O_RDONLY) for kind in ("user", "mnt")]
        os.write(go[1], b"x")
        os.read(ready[0], 1)
        # A dependency that is added while the build runs.
        helper = os.fork()
        if not helper:
            for fd in spaces:
                said("setns", libc.setns(fd, 0))
            os.makedirs(root + "/store/late", exist_ok=True)
            mount(store + "/dep", root + "/store/late", None, BIND, name="bind late")
            sys.stdout.flush()
            os._exit(0)
        wait(helper)
        os.write(go[1], b"y")
        wait(child)
        return
    os.read(go[0], 1)
    print("ids", os.getuid(), os.getgid())
    socket.sethostname("localhost")
    said("setdomainname", libc.setdomainname(b"(none)", 6))
    mount(None, "/", None, PRIVATE | REC)
    mount(root, root, None, BIND, name="bind root")
    for name in ("store", "dev/shm", "dev/pts", "proc", "tmp", "etc", "bin", "usr", "lib", "lib64"):
        os.makedirs(os.path.join(root, name))
    mount(store, root + "/store", None, BIND, name="bind store")
    mount(None, root + "/store", None, SHARED, name="share store")
    for name in ("/usr", "/bin", "/lib", "/lib64"):
        mount(name, root + name, None, BIND | REC, name="bind " + name)
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        open(f"{root}/dev/{name}", "w").close()
        mount(f"/dev/{name}", f"{root}/dev/{name}", None, BIND, name="bind " + name)
    os.symlink("/proc/self/fd", root + "/dev/fd")
    mount("none", root + "/proc", "proc", 0, name="proc")
    mount("none", root + "/dev/shm", "tmpfs", 0, "size=50%", name="shm")
    mount("none", root + "/dev/pts", "devpts", 0, "newinstance,mode=0620", name="pts")
    os.symlink("/dev/pts/ptmx", root + "/dev/ptmx")
    os.chmod(root + "/dev/pts/ptmx", 0o666)
    said("unshare", libc.unshare(NEWNS))
    os.chdir(root)
    os.mkdir("real-root", 0)
    pivot_root(".", "real-root")
    said("chroot", libc.chroot(b"."))
    umount("real-root", DETACH)
    os.rmdir("real-root")
    print("root")
    show("/")
    os.write(ready[1], b"x")
    os.read(go[0], 1)
    print("late", os.path.exists("/store/late/file"))
    sys.stdout.flush()
    os.execv("/bin/sh", ["sh", "-c", """
        cat /store/dep/file; ls / /dev; echo x >/dev/null; echo $$; cat /proc/1/comm; pwd
        echo y >/dev/shm/y; ls /dev/shm; touch /store/new /x; ls /store; ls /nothing; id -u"""])


if __name__ == "__main__":
    here = os.path.join(os.getcwd(), sys.argv[2])
    os.makedirs(here)
    {"bazel": bazel, "nix": nix}[sys.argv[1]](here)
