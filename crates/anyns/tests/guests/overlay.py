"""Random changes in an overlay, and what came of each; in the end what it shows, and its upper layer.

usage: overlay.py SEED CALLS OPTIONS (in a mount namespace, in an empty directory)
"""

import ctypes
import errno
import os
import random
import stat
import sys

SEED, CALLS, OPTIONS = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
libc = ctypes.CDLL(None, use_errno=True)
rng = random.Random(SEED)
NAMES = ["a", "b", "c", "d"]
TOP = os.path.realpath(".")


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def said(what):
    try:
        return what()
    except OSError as error:
        return errno.errorcode.get(error.errno, error.errno)


def mount(lower, upper, work):
    options = f"lowerdir={lower},upperdir={upper},workdir={work}{OPTIONS}"
    check(libc.mount(b"overlay", b"m", b"overlay", 0, options.encode()))


def populate(top, depth):
    for name in NAMES:
        path = f"{top}/{name}"
        kind = rng.choice(["none", "file", "file", "link", "fifo", "dir", "dir"])
        if kind == "file":
            with open(path, "w") as file:
                file.write(f"{path}\n" * rng.choice([0, 1, 3000]))
            os.chmod(path, rng.choice([0o644, 0o600, 0o755]))
            os.utime(path, (1000, 2000 + depth))
            if rng.random() < 0.3:
                os.setxattr(path, "user.test", name.encode())
        elif kind == "link":
            os.symlink(rng.choice(NAMES + ["../a", "b/c", "none"]), path)
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "dir" and depth < 3:
            os.mkdir(path)
            os.chmod(path, rng.choice([0o755, 0o700, 0o711]))
            populate(path, depth + 1)


def tree(top):
    """All that is below, without what differs from run to run."""
    for path, directories, files in os.walk(top):
        directories.sort()
        for name in sorted(directories + files):
            whole = os.path.join(path, name)
            found = os.lstat(whole)
            mode = stat.filemode(found.st_mode)
            text = [whole, mode, found.st_uid]
            if stat.S_ISREG(found.st_mode):
                with open(whole, "rb") as file:
                    body = file.read()
                text += [found.st_size, hash_of(body), found.st_nlink]
            if stat.S_ISLNK(found.st_mode):
                text.append(os.readlink(whole))
            elif not stat.S_ISCHR(found.st_mode):
                text.append(sorted(n for n in os.listxattr(whole) if n in ("user.test", "user.overlay.opaque")))
            print(*text)


def hash_of(body):
    value = 0
    for byte in body:
        value = (value * 31 + byte) % 1000003
    return value


def path():
    return "/".join(rng.choice(NAMES) for _ in range(rng.choice([1, 1, 2, 2, 3])))


def write(name, flags, text):
    fd = os.open(name, flags | os.O_NONBLOCK, rng.choice([0o666, 0o640]))
    try:
        return os.write(fd, text)
    finally:
        os.close(fd)


def read(name):
    fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return hash_of(os.read(fd, 1 << 20))
    finally:
        os.close(fd)


def attributes(name, follow=True):
    found = os.stat(name, follow_symlinks=follow)
    size = found.st_size if stat.S_ISREG(found.st_mode) else "-"
    links = found.st_nlink if not stat.S_ISDIR(found.st_mode) else "-"
    return (stat.filemode(found.st_mode), size, links, found.st_dev == os.stat(".").st_dev)


held = []


def hold(name):
    # Who writes to one that is copied up meets nobody who had it open before.
    if stat.S_ISFIFO(os.stat(name).st_mode):
        return "fifo"
    fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
    held.append((fd, os.path.realpath(name)))
    if len(held) > 6:
        os.close(held.pop(0)[0])
    return stat.filemode(os.fstat(fd).st_mode)


def by_held(what):
    if not held:
        return None
    fd, name = rng.choice(held)
    # What has lost its name the kernel's overlay may refuse to change: EEXIST.
    if said(lambda: os.lstat(name).st_ino) != os.fstat(fd).st_ino:
        return "replaced"
    return what(fd)


def reopened(fd):
    again = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
    try:
        return os.write(again, b"again\n")
    finally:
        os.close(again)


def within(fd):
    here = os.open(".", os.O_RDONLY)
    try:
        os.fchdir(fd)
        return (sorted(os.listdir(".")), said(lambda: attributes("..")), os.getcwd().removeprefix(TOP))
    finally:
        os.fchdir(here)
        os.close(here)


def call():
    one, two = path(), path()
    kind = rng.randrange(31)
    text = f"{kind} {one} {two}\n".encode() * rng.choice([1, 500])

    def rename(flags):
        return check(libc.renameat2(-100, one.encode(), -100, two.encode(), flags))

    def link():
        os.link(one, two, follow_symlinks=False)
        try:
            return attributes(two, False)
        finally:
            # The kernel's overlay takes two names of one file for two files at times.
            os.unlink(two)

    return [
        lambda: ("write", one, said(lambda: write(one, os.O_WRONLY, text))),
        lambda: ("append", one, said(lambda: write(one, os.O_WRONLY | os.O_APPEND, text))),
        lambda: ("create", one, said(lambda: write(one, os.O_WRONLY | os.O_CREAT, text))),
        lambda: ("exclusive", one, said(lambda: write(one, os.O_WRONLY | os.O_CREAT | os.O_EXCL, text))),
        lambda: ("shorten", one, said(lambda: write(one, os.O_WRONLY | os.O_TRUNC, text))),
        lambda: ("mkdir", one, said(lambda: os.mkdir(one))),
        lambda: ("mkdir", one, said(lambda: os.mkdir(one + "/"))),
        lambda: ("rmdir", one, said(lambda: os.rmdir(one))),
        lambda: ("unlink", one, said(lambda: os.unlink(one))),
        lambda: ("unlink", one, said(lambda: os.unlink(one))),
        lambda: ("rename", one, two, said(lambda: rename(0))),
        lambda: ("rename", one, two, said(lambda: rename(0))),
        lambda: ("rename", one, two, said(lambda: rename(1))),
        lambda: ("exchange", one, two, said(lambda: rename(2))),
        lambda: ("link", one, two, said(link)),
        lambda: ("symlink", one, two, said(lambda: os.symlink(one, two))),
        lambda: ("fifo", one, said(lambda: os.mkfifo(one))),
        lambda: ("mode", one, said(lambda: os.chmod(one, rng.choice([0o750, 0o755, 0o700])))),
        lambda: ("times", one, said(lambda: os.utime(one, (5, 6)))),
        lambda: ("truncate", one, said(lambda: os.truncate(one, rng.choice([0, 3, 10000])))),
        lambda: ("list", one, said(lambda: sorted(os.listdir(one)))),
        lambda: ("read", one, said(lambda: read(one))),
        lambda: ("stat", one, said(lambda: attributes(one, rng.random() < 0.5))),
        lambda: ("attribute", one, said(lambda: os.setxattr(one, "user.test", b"x"))),
        lambda: ("attributes", one, said(lambda: [n for n in os.listxattr(one) if n.startswith("user.")])),
        lambda: ("hold", one, said(lambda: hold(one))),
        lambda: ("held mode", said(lambda: by_held(lambda fd: os.fchmod(fd, 0o705)))),
        lambda: ("held stat", said(lambda: by_held(attributes))),
        lambda: ("held again", said(lambda: by_held(reopened))),
        lambda: ("within", said(lambda: by_held(within))),
        lambda: ("access", one, [said(lambda: os.access(one, mode)) for mode in (4, 2, 1)]),
    ][kind]()


for name in ["l1", "l2", "u", "w", "u2", "w2", "m"]:
    os.mkdir(name)
populate("l1", 0)
populate("l2", 0)
for round, (lower, upper, work) in enumerate([("l1:l2", "u", "w"), ("u:l1:l2", "u2", "w2")]):
    mount(lower, upper, work)
    os.chdir("m")
    for number in range(CALLS // 2):
        print(round, number, *call())
    while held:
        os.close(held.pop()[0])
    os.chdir(TOP)
    tree("m")
    print(sorted(os.listdir("m")))
    check(libc.umount2(b"m", 0))
    tree(upper)
    tree("l1")
