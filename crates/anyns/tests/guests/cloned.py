"""A program that runs from a mount of its own which is gone, as container runtimes see to before they
enter a container: what its exe is then. And what fstatfs(2) says of this and that."""
import ctypes, os, sys

libc = ctypes.CDLL(None, use_errno=True)
BIND, REMOUNT, RDONLY, DETACH = 4096, 32, 1, 2


class Statfs(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in "type bsize blocks bfree bavail files ffree".split()]
    _fields_ += [("fsid", ctypes.c_int * 2)]
    _fields_ += [(name, ctypes.c_long) for name in "namelen frsize flags".split()]
    _fields_ += [("spare", ctypes.c_long * 4)]


def mount(source, target, flags):
    return libc.mount(source.encode(), target.encode(), None, flags, None)


def told(what, fd):
    found = Statfs()
    if libc.fstatfs(fd, ctypes.byref(found)):
        return print(what, os.strerror(ctypes.get_errno()))
    print(what, hex(found.type), hex(found.flags & 0xf), found.namelen)


def exe():
    fd = os.open("/proc/self/exe", os.O_RDONLY)
    same = os.path.samestat(os.fstat(fd), os.stat(sys.argv[2]))
    print(os.readlink("/proc/self/exe"), same, os.readlink("/proc/self/fd/%d" % fd))
    told("exe", fd)
    told("exe by name", os.open("/proc/self/exe", os.O_PATH))
    child = os.fork()
    if child == 0:
        print("child", os.readlink("/proc/self/exe"))
        sys.exit()
    os.wait()


stage = sys.argv[1]
print(stage)
exe()
again = lambda stage, by: os.execve(by, ["python3", __file__, stage, sys.argv[2], sys.argv[3]], os.environ)
sys.stdout.flush()
if stage == "first":
    target = sys.argv[3]
    open(target, "w").close()
    print(mount("/proc/self/exe", target, BIND), mount("", target, BIND | REMOUNT | RDONLY))
    sys.stdout.flush()
    again("by path", target)
if stage == "by path":
    fd = os.open(sys.argv[3], os.O_PATH)
    told("mount", fd)
    print(libc.umount2(sys.argv[3].encode(), DETACH))
    told("mount, gone", fd)
    sys.stdout.flush()
    again("by descriptor", fd)
if stage == "by descriptor":
    again("as ever", sys.argv[2])
os.mkdir("t")
libc.mount(b"t", b"t", b"tmpfs", 6, b"size=1M")
told("tmpfs", os.open("t", os.O_RDONLY))
told("file", os.open("t/f", os.O_CREAT | os.O_RDWR))
told("namespace", os.open("/proc/self/ns/user", os.O_RDONLY))
told("map", os.open("/proc/self/uid_map", os.O_WRONLY))
told("proc", os.open("/proc/self/fd", os.O_RDONLY))
told("pipe", os.pipe()[0])
told("memory", os.memfd_create("m"))
told("file system", libc.syscall(430, b"tmpfs", 0))
told("tree", libc.syscall(428, -100, b"t", 1))
told("none", 77)
told("none", -1)
