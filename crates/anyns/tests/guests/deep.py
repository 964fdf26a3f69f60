"""Directories whose paths are longer than PATH_MAX: a program gets there and back step by step, and tools
remove them. In a directory of its own."""
import ctypes, errno, os, subprocess

NAME, DEPTH = "x" * 200, 40
libc = ctypes.CDLL(None, use_errno=True)


def tried(what, *args, **how):
    try:
        return what(*args, **how)
    except OSError as error:
        return errno.errorcode[error.errno]


def getcwd():
    """The system call, without the walk that the C library makes."""
    done = libc.syscall(79, ctypes.create_string_buffer(1 << 16), 1 << 16)
    return done if done >= 0 else errno.errorcode[ctypes.get_errno()]


os.mkdir("t")
os.chdir("t")
own = len(os.getcwd())
for depth in range(DEPTH):
    os.mkdir("beside")
    os.mkdir(NAME)
    os.chdir(NAME)
print("getcwd", getcwd(), len(os.getcwd()) - own == DEPTH * (len(NAME) + 1), tried(os.readlink, "/proc/self/cwd"))
fd = os.open(".", os.O_RDONLY)
print("by descriptor", tried(os.readlink, f"/proc/self/fd/{fd}"), os.listdir(fd), tried(os.mkdir, "d", dir_fd=fd), sorted(os.listdir("..")) == ["beside", NAME])
os.close(os.open("f", os.O_WRONLY | os.O_CREAT))
print("files", tried(os.rename, "f", "d/f"), tried(os.link, "d/f", "../beside/f"), os.listdir("../beside"), tried(os.symlink, "../" * 30 + NAME, "l"), os.stat("l").st_nlink, tried(os.rename, "d", "../d"), os.listdir("../d"))
print("above", tried(os.chdir, "../.."), tried(os.chdir, "../" * (DEPTH - 3)), len(os.getcwd()) - own)
os.chdir("../..")
print(subprocess.run(["find", "t", "-name", "f"], capture_output=True).stdout.count(b"\n"), subprocess.run(["du", "-s", "t"], capture_output=True).stderr)
print(subprocess.run(["rm", "-r", "t"], capture_output=True).stderr, os.path.exists("t"))
