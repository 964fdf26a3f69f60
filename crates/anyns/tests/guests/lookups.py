"""Looks up random paths among random mounts and links, and says what each leads to.

In a mount namespace of its own, which it may change. Objects are called by the order in which they
were first met, so that two runs that see the same print the same.

usage: lookups.py SEED ROUNDS LOOKUPS
"""

import ctypes
import errno
import itertools
import os
import random
import stat
import struct
import sys

SEED, ROUNDS, LOOKUPS = (int(word) for word in sys.argv[1:4])
libc = ctypes.CDLL(None, use_errno=True)
rnd = random.Random(SEED)

BIND, REC, REMOUNT, RDONLY, NOSYMFOLLOW, DETACH = 4096, 16384, 32, 1, 256, 2
PRIVATE, SHARED, SLAVE, MOVE = 1 << 18, 1 << 20, 1 << 19, 8192
OPENAT2 = 437
RESOLVE = {"xdev": 1, "magic": 2, "sym": 4, "beneath": 8, "root": 16}
AT_FDCWD = -100

classes = {}
devices = {}
numbers = itertools.count()
kept = []
alive = []


def ending(path, act):
    """Does what ends the object of a path: the next one may have its number, or not."""
    try:
        st = os.lstat(path)
    except OSError:
        st = None
    act()
    if st:
        classes.pop((st.st_dev, st.st_ino), None)
    return "ok"


def name(error):
    return errno.errorcode.get(error, str(error))


def seen(st):
    device = devices.setdefault(st.st_dev, len(devices))
    key = st.st_dev, st.st_ino
    if key not in classes:
        classes[key] = next(numbers)
    inode = classes[key]
    return f"{device}:{inode}:{stat.S_IFMT(st.st_mode) >> 12:o}"


def tell(what, *words):
    try:
        result = what()
    except OSError as error:
        result = name(error.errno)
    except ValueError as error:
        result = type(error).__name__
    print(*words, "=", result)


def call(number, *words):
    result = libc.syscall(number, *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def mount(source, target, kind, flags, data=None):
    encode = lambda text: None if text is None else text.encode()
    if libc.mount(encode(source), encode(target), encode(kind), flags, encode(data)) < 0:
        raise OSError(ctypes.get_errno(), "")
    if kind:
        # Its device number is not given again as long as it lives.
        alive.append(os.open(target, os.O_PATH))
    return "ok"


def umount(target, flags):
    if libc.umount2(target.encode(), flags) < 0:
        raise OSError(ctypes.get_errno(), "")
    return "ok"


def opened(fd):
    try:
        return seen(os.fstat(fd))
    finally:
        os.close(fd)


def openat2(dirfd, path, flags, resolve):
    how = ctypes.create_string_buffer(struct.pack("QQQ", flags, 0, resolve), 24)
    return opened(call(OPENAT2, dirfd, path.encode(), how, 24))


TOP = os.getcwd() + "/t"
NAMES = ["a", "b", "c", "f", "g", "l", "m", "n", "k"]
directories = [TOP]


def grow(above, depth):
    for entry in rnd.sample(NAMES[:3], 2 if depth else 3):
        below = f"{above}/{entry}"
        os.mkdir(below)
        directories.append(below)
        if depth < 2:
            grow(below, depth + 1)
    for entry in NAMES[3:5]:
        if rnd.random() < 0.7:
            with open(f"{above}/{entry}", "w") as file:
                file.write(f"{above}/{entry}")
    for entry in NAMES[5:]:
        if rnd.random() < 0.6:
            os.symlink(target(), f"{above}/{entry}")


def part():
    return rnd.choice(NAMES + ["..", "..", "."])


def target():
    text = "/".join(part() for _ in range(rnd.randint(1, 4)))
    if rnd.random() < 0.3:
        text = f"{TOP}/{text}"
    if rnd.random() < 0.05:
        text = f"/proc/self/root{TOP}/{text}"
    if rnd.random() < 0.15:
        text += "/"
    return text


def path():
    chance = rnd.random()
    text = "/".join(part() for _ in range(rnd.randint(1, 7)))
    if rnd.random() < 0.5:
        # One that may well be there.
        text = rnd.choice(directories).removeprefix(TOP).lstrip("/") or "."
        text += rnd.choice(["", "/..", "/../..", "/.", "/f", "/l", "/m/n", "/k/../l"])
    if chance < 0.45:
        text = f"{TOP}/{text}"
    elif chance < 0.5:
        text = f"/{text}"
    elif chance < 0.55:
        text = f"{TOP}//{text}//"
    elif chance < 0.58:
        text = f"/proc/self/cwd/{text}"
    elif chance < 0.61 and kept:
        text = f"/proc/self/fd/{rnd.choice(kept)}/{text}"
    elif chance < 0.62:
        text = rnd.choice(["", "/", ".", "..", "x" * 256, "x" * 255, f"{TOP}/" + "a/" * 2100])
    if rnd.random() < 0.1:
        text += "/"
    return text


def place():
    return rnd.choice(directories)


def change():
    kind = rnd.randrange(14)
    one, other = place(), place()
    if kind < 5:
        tell(lambda: mount(one, other, None, BIND | rnd.choice([0, REC])), "bind", one, other)
    elif kind == 5:
        tell(lambda: mount("t", one, "tmpfs", 0, "mode=755"), "tmpfs", one)
        tell(lambda: grow(one, 2) or "ok", "grow", one)
    elif kind == 6:
        one, other = f"{one}/f", f"{other}/g"
        tell(lambda: mount(one, other, None, BIND), "bind", one, other)
    elif kind == 7:
        flags = REMOUNT | BIND | rnd.choice([RDONLY, NOSYMFOLLOW, 0])
        tell(lambda: mount(None, one, None, flags), "remount", one)
    elif kind == 8:
        tell(lambda: umount(one, DETACH), "umount", one)
    elif kind == 9:
        tell(lambda: mount(one, other, None, MOVE), "move", one, other)
    elif kind == 10:
        flags = rnd.choice([PRIVATE, SHARED, SLAVE]) | rnd.choice([0, REC])
        tell(lambda: mount(None, one, None, flags), "propagation", one)
    elif kind == 11:
        old, new = f"{one}/{rnd.choice(NAMES)}", f"{other}/{rnd.choice(NAMES)}"
        tell(lambda: ending(new, lambda: os.rename(old, new)), "rename", old, new)
    elif kind == 12:
        tell(lambda: os.symlink(target(), one := f"{place()}/{rnd.choice(NAMES)}") or one, "symlink")
    else:
        where = f"{one}/{rnd.choice(NAMES)}"
        act = rnd.choice([os.mkdir, os.rmdir, os.unlink])
        if act is not os.mkdir and rnd.random() < 0.7:
            return
        tell(lambda: ending(where, lambda: act(where)), act.__name__, where)


def lookup():
    text = path()
    dirfd = rnd.choice([AT_FDCWD] + kept)
    at = None if dirfd == AT_FDCWD else dirfd
    kind = rnd.randrange(14)
    print(dirfd if at else "cwd", end=" ")
    if kind < 3:
        tell(lambda: seen(os.stat(text, dir_fd=at)), "stat", text)
    elif kind < 5:
        tell(lambda: seen(os.lstat(text, dir_fd=at)), "lstat", text)
    elif kind == 5:
        tell(lambda: opened(os.open(text, os.O_PATH, dir_fd=at)), "path", text)
    elif kind == 6:
        flags = os.O_PATH | os.O_NOFOLLOW
        tell(lambda: opened(os.open(text, flags, dir_fd=at)), "link", text)
    elif kind == 7:
        flags = rnd.choice([os.O_RDONLY, os.O_DIRECTORY, os.O_NOFOLLOW, os.O_RDWR])
        tell(lambda: opened(os.open(text, flags, dir_fd=at)), "open", flags, text)
    elif kind < 11:
        words = rnd.sample(sorted(RESOLVE), rnd.randint(1, 2))
        resolve = sum(RESOLVE[word] for word in words)
        flags = rnd.choice([os.O_PATH, os.O_PATH | os.O_NOFOLLOW, os.O_RDONLY])
        tell(lambda: openat2(dirfd, text, flags, resolve), "openat2", *words, flags, text)
    elif kind == 11:
        tell(lambda: os.readlink(text, dir_fd=at), "readlink", text)
    elif kind == 12:
        mode = rnd.choice([os.F_OK, os.R_OK, os.W_OK])
        tell(lambda: os.access(text, mode, dir_fd=at), "access", mode, text)
    elif rnd.random() < 0.2:
        tell(lambda: os.chdir(text) or os.getcwd(), "chdir", text)
    elif len(kept) < 6:
        tell(lambda: keep(text), "keep", text)
    else:
        fd = kept.pop(rnd.randrange(len(kept)))
        tell(lambda: os.readlink(f"/proc/self/fd/{fd}"), "drop", fd)
        os.close(fd)


def keep(text):
    fd = os.open(text, os.O_RDONLY | os.O_DIRECTORY)
    kept.append(fd)
    return f"{fd} {seen(os.fstat(fd))}"


os.mkdir(TOP)
grow(TOP, 0)
tell(lambda: mount("t", place(), "tmpfs", 0), "first")
os.chdir(TOP)
for _ in range(ROUNDS):
    for _ in range(3):
        change()
    for _ in range(LOOKUPS):
        lookup()
