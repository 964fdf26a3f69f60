"""Somebody who has restricted itself by Landlock, in namespaces of its own: what it may write, and that it
may not mount. With an argument only whether there is Landlock."""
import ctypes, errno, os, struct, subprocess, sys

libc = ctypes.CDLL(None, use_errno=True)
CREATE, ADD, RESTRICT, PIVOT = 444, 445, 446, 155
WRITE, MAKE = 2, 256
NEWNS, NEWUSER = 0x20000, 0x10000000


def called(done):
    return errno.errorcode[ctypes.get_errno()] if done < 0 else done


def tried(what, *args):
    try:
        what(*args)
    except OSError as error:
        return errno.errorcode[error.errno]


def written(path):
    return tried(lambda: open(path, "w").close())


version = called(libc.syscall(CREATE, None, 0, 1))
print(version if isinstance(version, str) else "there")
if isinstance(version, str) or sys.argv[1:]:
    sys.exit()
for name in "ok", "other", "ok/dir":
    os.mkdir(name)
attributes = struct.pack("Q", WRITE | MAKE)
ruleset = libc.syscall(CREATE, attributes, 8, 0)
for path in "ok", "/proc", "/dev/null":
    at = os.open(path, os.O_PATH)
    allowed = WRITE if path == "/dev/null" else WRITE | MAKE
    print(called(libc.syscall(ADD, ruleset, 1, struct.pack("<Qi", allowed, at), 0)))
print(called(libc.syscall(RESTRICT, 77, 0)), written("other/before"))
libc.prctl(38, 1, 0, 0, 0)
print(called(libc.syscall(RESTRICT, ruleset, 0)))
print(written("ok/new"), written("other/new"), os.listdir("other"))
sys.stdout.flush()
uid = os.getuid()
if os.fork() == 0:
    print(called(libc.unshare(NEWUSER | NEWNS)))
    print([tried(lambda: open(f"/proc/self/{name}", "w").write(text)) for name, text in
           (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"))])
    mount = lambda *args: called(libc.mount(*args, None))
    print(mount(b"t", b"ok/dir", b"tmpfs", 0), mount(b"t", b"none", b"tmpfs", 0), mount(b"ok", b"ok/dir", None, 4096))
    print(mount(None, b"/", None, 0x44000), called(libc.umount2(b"/proc", 2)), called(libc.syscall(PIVOT, b"ok", b"ok/dir")))
    print(written("ok/inside"), written("other/inside"), sorted(os.listdir("ok")))
    sys.stdout.flush()
    print(subprocess.run(["sh", "-c", "touch ok/child; touch other/child; ls ok other"], stderr=2).returncode)
    sys.stdout.flush()
    os._exit(0)
os.wait()
