"""Whether /proc/self/maps names mapped files by the device and inode number that fstat tells: in a tmpfs,
under its name and without one, in an overlay, on the host. In a directory of its own, as somebody who may
mount; it has `tmp` and `over`."""
import ctypes, mmap, os

libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind, options=None):
    assert libc.mount(source, target, kind, 0, options) == 0, os.strerror(ctypes.get_errno())


def show(what, fd):
    os.write(fd, b"x" * 4096)
    with mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ):
        stat = os.fstat(fd)
        for line in open("/proc/self/maps"):
            words = line.split(None, 5)
            if int(words[4]) == stat.st_ino:
                major, minor = (int(word, 16) for word in words[3].split(":"))
                print(what, (major, minor) == (os.major(stat.st_dev), os.minor(stat.st_dev)), words[5].strip().replace(f"#{stat.st_ino}", "#N"))
    os.close(fd)


def made(path):
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


mount(b"t", b"tmp", b"tmpfs")
show("a file", made("tmp/file"))
fd = made("tmp/gone")
os.unlink("tmp/gone")
show("removed", fd)
show("without a name", os.open("tmp", os.O_RDWR | os.O_TMPFILE, 0o644))
for name in "lower", "upper", "work":
    os.mkdir("tmp/" + name)
mount(b"o", b"over", b"overlay", b"lowerdir=tmp/lower,upperdir=tmp/upper,workdir=tmp/work")
show("in an overlay", made("over/file"))
show("on the host", made("file"))
