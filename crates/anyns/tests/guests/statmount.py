"""Prints what statmount(2) and listmount(2) say, with the numbers of mounts, devices, groups and
namespaces replaced by whose they are, and whether mountinfo and statx(2) say the same."""
import ctypes, errno, fcntl, os, re, struct, sys

libc = ctypes.CDLL(None, use_errno=True)
ALL, UNKNOWN = 2**64 - 1, 2**64 - 99
HEAD = struct.Struct("=IIQIIQIIQQIIQQQQQIIQIIIIIIQIIII")
NAMES = """size mnt_opts mask major minor magic sb_flags fs_type id parent id_old parent_old attr propagation
peers master from_ root point ns subtype source opt_num opt_array sec_num sec_array supported uids uidmap
gids gidmap""".split()
TEXTS = {"fs_type": 0x20, "root": 8, "point": 16, "mnt_opts": 0x80, "subtype": 0x100, "source": 0x200}


def call(number, *args):
    args = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    done = libc.syscall(number, *args)
    return errno.errorcode[ctypes.get_errno()] if done < 0 else done


def request(mount, param=0, ns=0, fd=0, size=None, more=b""):
    size = size if size is not None else 32 if ns else 24
    text = struct.pack("IIQQQ", size, fd & 0xFFFFFFFF, mount, param, ns) + more
    return ctypes.create_string_buffer(text + bytes(64), 128)


def listmount(mount=ALL, last=0, count=300, flags=0, room=300, **how):
    numbers = (ctypes.c_uint64 * room)()
    done = call(458, request(mount, last, **how), numbers, count, flags)
    return done if isinstance(done, str) else list(numbers)[:done]


def statmount(mount, mask=0x7FFF, room=4096, flags=0, **how):
    buffer = ctypes.create_string_buffer(b"\xaa" * max(room, 1), max(room, 1))
    done = call(457, request(mount, mask, **how), buffer, room, flags)
    return done if isinstance(done, str) else bytes(buffer)


def told(mount, mask=0x7FFF, **how):
    bytes_ = statmount(mount, mask, **how)
    if isinstance(bytes_, str):
        return bytes_
    it = dict(zip(NAMES, HEAD.unpack_from(bytes_)))
    text = bytes_[512 : it["size"]]
    for name, bit in TEXTS.items():
        it[name] = text[it[name] : text.index(b"\0", it[name])].decode() if it["mask"] & bit else it[name]
    if it["mask"] & 0x400:
        it["opt_array"] = text[it["opt_array"] :].split(b"\0")[: it["opt_num"]]
    return it


def statx(path, mask, flags=0):
    buffer = ctypes.create_string_buffer(256)
    done = call(332, -100, ctypes.c_char_p(path.encode()), flags, mask, buffer)
    return done if isinstance(done, str) else struct.unpack_from("=Q", buffer, 144)[0]


def unescaped(text):
    return re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), text)


def mountinfo():
    lines = {}
    for line in open("/proc/self/mountinfo"):
        words = line.split()
        lines[int(words[0])] = words
    return lines


def at(point):
    return [number for number in listmount() if told(number, 0x10)["point"] == point][-1]


def everything():
    numbers, lines, groups = listmount(), mountinfo(), {0: 0}
    print(len(numbers) == len(lines), numbers == sorted(numbers), all(n > 2**31 for n in numbers))
    whose = lambda number: numbers.index(number) if number in numbers else "outside"
    for number in numbers:
        it = told(number)
        words = lines[it["id_old"]]
        behind = words[words.index("-") + 1 :]
        same = [
            words[1] == str(it["parent_old"]),
            words[2] == "%d:%d" % (it["major"], it["minor"]),
            unescaped(words[3]) == it["root"],
            unescaped(words[4]) == it["point"],
            behind[0] == it["fs_type"] + ("." + it["subtype"] if it["subtype"] else ""),
            unescaped(behind[1]) == it["source"],
            ("shared:%d" % it["peers"] in words) == bool(it["peers"]),
            ("master:%d" % it["master"] in words) == bool(it["master"]),
            it["id"] == number,
        ]
        for name in "peers", "master", "from_":
            it[name] = groups.setdefault(it[name], len(groups))
        it["parent"] = whose(it["parent"])
        for name in "size id id_old parent_old major minor ns root".split():
            del it[name]
        print(all(same) or same, it)
    for path in "/", "/proc", "/mnt", "/mnt/b", "/mnt/b/z", ".":
        unique, old = statx(path, 0x4000), statx(path, 0x1000)
        print(path, whose(unique), not isinstance(unique, int) or told(unique)["id_old"] == old)
    file = os.open("/mnt", os.O_PATH)
    print(whose(statx("/proc/self/fd/%d" % file, 0x4000)), whose(statx("/proc/self/fd/%d" % file, 0x4000, 0x100)))


def lists():
    numbers = listmount()
    show = lambda found: found if isinstance(found, str) else [numbers.index(n) for n in found]
    first, middle, last = numbers[0], numbers[len(numbers) // 2], numbers[-1]
    for name in "/", "/proc", "/mnt", "/mnt/b", "/mnt/b/z":
        print(name, show(listmount(at(name))), show(listmount(at(name), flags=1, count=2)))
    for label, found in {
        "three": listmount(count=3),
        "none": listmount(count=0),
        "after the first": listmount(last=first, count=2),
        "after one": listmount(last=middle, count=2),
        "after the last": listmount(last=last),
        "after nobody": listmount(last=2**31 + 1, count=1),
        "after no number": listmount(last=5),
        "after all": listmount(last=ALL, count=2),
        "backwards": listmount(flags=1, count=3),
        "before one": listmount(flags=1, last=middle, count=2),
        "before the first": listmount(flags=1, last=first),
        "before all": listmount(flags=1, last=ALL, count=2),
        "flags": listmount(flags=2),
        "no mount": listmount(UNKNOWN),
        "no number": listmount(0),
        "an old number": listmount(30),
        "too many": listmount(count=1000001),
        "many": listmount(count=1000000),
        "far too many": listmount(count=2**61),
        "small": listmount(size=23),
        "large": listmount(size=4097),
        "unknown": listmount(size=40, more=struct.pack("Q", 7)),
        "later": listmount(size=40, count=2),
    }.items():
        print(label, show(found))
    for args in (0, 0, 4, 0), (request(ALL), 0, 4, 0), (request(ALL), 0, 0, 0), (request(ALL), 2**46, 4, 0):
        print(call(458, *args))
    for args in (request(ALL), 2**63, 1, 0), (request(ALL), -4096, 1, 0), (0, 2**63, 1, 0):
        print(call(458, *args))
    pages, after = [], 0
    while page := listmount(last=after, count=3):
        pages, after = pages + page, page[-1]
    print(pages == numbers)


def errors():
    root = at("/proc")
    for label, found in {
        "flags": statmount(root, 1, flags=1),
        "flags, null": call(457, 0, 0, 0, 1),
        "null": call(457, 0, 0, 0, 0),
        "no number": statmount(0),
        "an old number": statmount(30),
        "no mount": statmount(UNKNOWN),
        "all": statmount(ALL),
        "small": statmount(root, 1, size=23),
        "large": statmount(root, 1, size=4097),
        "unknown": statmount(root, 1, size=40, more=struct.pack("Q", 7)),
        "later": statmount(root, 1, size=40),
        "nothing": statmount(root, 0, 513),
        "new bits": statmount(root, 1 << 40, 513),
        "every bit": statmount(root, ALL, 600),
        "null buffer": call(457, request(root, 1), 0, 512, 0),
        "null buffer of nothing": call(457, request(root, 1), 0, 0, 0),
        "null buffer for text": call(457, request(root, 32), 0, 600, 0),
        "no buffer for text": call(457, request(root, 32), 0, 0, 0),
        "no buffer for text of nobody": call(457, request(UNKNOWN, 32), 0, 0, 0),
    }.items():
        print(label, found if isinstance(found, (str, int)) else HEAD.unpack_from(found)[:3])
    for room in 0, 1, 8, 100, 511, 512, 513:
        found = statmount(root, 2, room)
        print(room, found[:16], found[-1:])
    for mask in [1 << bit for bit in range(15)] + [0x6000, 0x28]:
        for room in 512, 513, 514, 517, 518, 519, 520, 600:
            found = statmount(root, mask, room)
            print(hex(mask), room, found if isinstance(found, str) else (HEAD.unpack_from(found)[:3:2], found[512:].rstrip(b"\xaa")))


def id_of(path):
    word = bytearray(8)
    with open(path) as file:
        fcntl.ioctl(file, 0x8008B705, word)
    return struct.unpack("Q", word)[0]


def namespaces(other=None):
    own, root = id_of("/proc/self/ns/mnt"), at("/")
    show = lambda found: found if isinstance(found, str) else "%s of %d" % (type(found).__name__, len(found) > 0)
    print(own == told(root, 0x40)["ns"], told(root, 0x40)["mask"])
    fd = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    wrong = os.open("/proc/self/ns/uts", os.O_RDONLY)
    for how in {"ns": own}, {"fd": fd}, {"ns": own, "fd": fd}, {"fd": wrong}, {"fd": 1}, {"fd": 99}, {"fd": -1}, {"ns": 7777777}:
        how = {"size": 32, **how}
        print(list(how), show(statmount(root, 1, **how)), show(listmount(**how)))
    if other:
        number, id_ = int(other[0]), int(other[1])
        for how in {"ns": id_}, {}, {"ns": own}:
            print(list(how), show(statmount(number, 1, **how)), show(listmount(**how)), show(listmount(number, **how)))


def outside(number):
    it = told(int(number))
    print(it if isinstance(it, str) else [it[name] for name in "mask point root fs_type".split()])
    found = listmount(int(number))
    print(found if isinstance(found, str) else len(found), at("/") == listmount()[0], len(listmount()) == len(mountinfo()))


if __name__ == "__main__":
    what, *more = sys.argv[1:]
    if what == "number":
        print(at(more[0]), id_of("/proc/self/ns/mnt"))
    elif what == "namespaces":
        namespaces(more)
    elif what == "outside":
        outside(more[0])
    else:
        {"everything": everything, "lists": lists, "errors": errors}[what]()
