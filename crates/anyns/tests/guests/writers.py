"""What is open for writing keeps a file system from becoming read-only. In a directory of its own, as
somebody who may mount; it has `d`."""
import ctypes, errno, os

libc = ctypes.CDLL(None, use_errno=True)
REMOUNT, BIND, READONLY, RECURSIVE, SETATTR = 32, 4096, 1, 0x8000, 442


def said(result):
    return 0 if result == 0 else errno.errorcode[ctypes.get_errno()]


def remount(path, flags):
    return said(libc.mount(None, path, None, REMOUNT | flags, None))


def setattr(path, flags=0):
    attributes = (ctypes.c_uint64 * 4)(READONLY, 0, 0, 0)
    return said(libc.syscall(SETATTR, -100, path, flags, attributes, 32))


def tried(path):
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))
    except OSError as error:
        return errno.errorcode[error.errno]


for path in b"d", b"d/e":
    os.makedirs(path, exist_ok=True)
    print("mounted", said(libc.mount(b"t", path, b"tmpfs", 0, None)))
fd = os.open("d/e/file", os.O_RDWR | os.O_CREAT, 0o644)
print("written", setattr(b"d/e"), setattr(b"d", RECURSIVE), remount(b"d/e", BIND | READONLY), remount(b"d/e", READONLY))
print("all or none", tried("d/new"), tried("d/e/new"))
print("above", setattr(b"d"), tried("d/again"), remount(b"d", BIND), tried("d/again"))
os.close(fd)
fd = os.open("d/e/file", os.O_RDONLY)
print("read", setattr(b"d", RECURSIVE), tried("d/new"), tried("d/e/file"))
print("again", remount(b"d/e", BIND), tried("d/e/file"), remount(b"d/e", READONLY), tried("d/e/file"))
