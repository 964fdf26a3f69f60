"""Handles of files (name_to_handle_at(2)), and marks by which fanotify(7) watches them. With an argument
also marks of all of a file system, which is not the caller's own."""
import ctypes, errno, os, struct, sys

libc = ctypes.CDLL(None, use_errno=True)
HERE, EMPTY, FOLLOW, FID, UNIQUE = -100, 0x1000, 0x400, 0x200, 1


def called(done):
    return errno.errorcode[ctypes.get_errno()] if done < 0 else done


def handle(path, flags=0, room=128, at=HERE, mount=True):
    text = ctypes.create_string_buffer(struct.pack("Ii", room, 0) + bytes(128))
    number = ctypes.c_long(-1)
    done = libc.name_to_handle_at(at, path.encode(), text, ctypes.byref(number) if mount else None, flags)
    length, kind = struct.unpack_from("Ii", text)
    return called(done), length > 0, kind, text.raw[8 : 8 + length], number.value & 0xFFFFFFFF


def of(path):
    here = handle(path)
    shown = [line.split()[4] for line in open("/proc/self/mountinfo") if int(line.split()[0]) == here[4]]
    return here[0], here[1], shown


os.makedirs("dir/sub", exist_ok=True)
open("dir/file", "w").close()
os.symlink("file", "dir/link")
for path in "dir", "dir/file", "/", "/proc", "/proc/self/stat", "/proc/self/ns/user", "none", "dir/file/x":
    print(path, of(path))
print(handle("dir/file")[3] == handle("./dir/sub/../file")[3], handle("dir/link")[3] == handle("dir/file")[3])
print(handle("dir/link", FOLLOW)[3] == handle("dir/file")[3])
fd = os.open("dir/file", os.O_RDONLY)
print(handle("", EMPTY, at=fd)[3] == handle("dir/file")[3], handle("", 0, at=fd)[0], handle("", EMPTY, at=77)[0])
short = handle("dir/file", room=0)
print(short[0], short[2], handle("dir/file", room=200)[0], handle("dir/file", 0x8000)[0])
print(handle("dir/file", FID)[0], handle("dir/file", UNIQUE)[0], handle("dir/file", mount=False)[0])
print(called(libc.name_to_handle_at(HERE, b"dir/file", None, None, 0)))

# fanotify, as whoever may not administer the machine has it: by handles alone.
REPORT, NONBLOCK, CLOEXEC = 0x200 | 0x400 | 0x800, 2, 1
ADD, REMOVE, NOFOLLOW, ONLYDIR, MOUNT, FLUSH = 1, 2, 4, 8, 0x10, 0x80
CREATE, DELETE, MODIFY, OPEN, ON_CHILD, ONDIR = 0x100, 0x200, 2, 0x20, 0x8000000, 0x40000000
group = libc.syscall(300, REPORT | NONBLOCK | CLOEXEC, os.O_RDONLY)


def mark(flags, mask, path, at=HERE):
    path = path and path.encode()
    return called(libc.syscall(301, group, flags, ctypes.c_ulong(mask), at, path))


def events():
    try:
        text = os.read(group, 8192)
    except BlockingIOError:
        return []
    # Whether two things that befell one file are one event depends on whose they were.
    found = {}
    while text:
        length, version, _, _, mask, fd, pid = struct.unpack_from("IBBHQii", text)
        rest = text[24:length]
        name = b""
        while rest:
            kind, _, size = struct.unpack_from("BBH", rest)
            if kind == 2:
                bytes_ = struct.unpack_from("I", rest, 12)[0]
                name = rest[20 + bytes_ : size].rstrip(b"\0")
            rest = rest[size:]
        found[name] = found.get(name, 0) | mask
        text = text[length:]
    return sorted((name.decode(), hex(mask)) for name, mask in found.items())


print(group >= 0)
print(mark(ADD, CREATE | DELETE | MODIFY | ONDIR | ON_CHILD, "dir"), mark(ADD, OPEN, "dir/file"))
open("dir/new", "w").close()
os.mkdir("dir/other")
os.unlink("dir/new")
open("dir/file").close()
with open("dir/file", "a") as file:
    file.write("x")
print(events())
print(mark(ADD | ONLYDIR, CREATE, "dir/file"), mark(ADD, CREATE, "none"), mark(ADD | NOFOLLOW, OPEN, "dir/link"))
print(mark(REMOVE, OPEN, "dir/file"), mark(REMOVE, OPEN, "dir/file"), mark(ADD, 0, "dir"), mark(3, OPEN, "dir"))
if sys.argv[1:]:
    print(mark(ADD | MOUNT, OPEN, "dir"), mark(ADD | 0x100, OPEN, "dir"), mark(ADD | MOUNT, 0, "dir"))
print(mark(ADD, OPEN, None), mark(ADD, OPEN, None, fd))
print(mark(FLUSH, 0, None))
open("dir/file").close()
print(events())
group = 0
print(mark(ADD, OPEN, "dir"))
group = 77
print(mark(ADD, OPEN, "dir"))
