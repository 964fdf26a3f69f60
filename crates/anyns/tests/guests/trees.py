"""Paths that begin at trees of mounts that are in no namespace, by descriptors of fsmount(2) and
open_tree(2). In a directory of its own, as somebody who may mount."""
import ctypes, errno, os, stat, sys

libc = ctypes.CDLL(None, use_errno=True)
OPEN_TREE, MOVE_MOUNT, FSOPEN, FSCONFIG, FSMOUNT, SETATTR = 428, 429, 430, 431, 432, 442
HERE, CLONE, RECURSIVE, EMPTY = -100, 1, 0x8000, 0x1000


def call(number, *args):
    args = [a.encode() if isinstance(a, str) else a for a in args]
    args = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in args]
    done = libc.syscall(number, *args)
    return errno.errorcode[ctypes.get_errno()] if done < 0 else done


def tried(what, *args, **how):
    try:
        return what(*args, **how)
    except OSError as error:
        return errno.errorcode[error.errno]


def tmpfs(attributes=0):
    context = call(FSOPEN, "tmpfs", 0)
    assert call(FSCONFIG, context, 6, None, None, 0) == 0
    tree = call(FSMOUNT, context, 0, attributes)
    os.close(context)
    return tree


def tree_of(path, flags=0):
    return call(OPEN_TREE, HERE, path, CLONE | flags)


def move(tree, to, at=HERE):
    return call(MOVE_MOUNT, tree, "", at, to, 4)


def write(at, name, text):
    fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=at)
    os.write(fd, text.encode())
    os.close(fd)


def read(at, name):
    fd = os.open(name, os.O_RDONLY, dir_fd=at)
    text = os.read(fd, 100).decode()
    os.close(fd)
    return text


def listed(at, name="."):
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
    names = sorted(os.listdir(fd))
    os.close(fd)
    return names


def kept(at):
    return os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)


def show(name, *what):
    print(name, *what, flush=True)


own = os.getcwd()
for name in ("a", "b", "c", "src"):
    os.mkdir(name)
write(HERE, "src/file", "of the source")
os.mkdir("src/below")

# A file system of one's own.
tree = tmpfs()
write(tree, "f", "1")
show("made", read(tree, "f"), listed(tree))
show("names", tried(os.mkdir, "d", dir_fd=tree), tried(os.symlink, "f", "l", dir_fd=tree), tried(read, tree, "l"),
     tried(os.symlink, "/", "root", dir_fd=tree), tried(os.rename, "f", "d/f", src_dir_fd=tree, dst_dir_fd=tree),
     tried(os.link, "d/f", "again", src_dir_fd=tree, dst_dir_fd=tree), listed(tree), listed(tree, "d"))
show("a link to the root", os.path.basename(own) in listed(tree, "root" + os.path.dirname(own)))
it, there = os.fstat(tree), os.stat("d/f", dir_fd=tree)
show("one device", it.st_dev == there.st_dev, it.st_dev != os.stat(".").st_dev, stat.filemode(it.st_mode), there.st_nlink)
show("up", listed(tree, ".."), listed(tree, "d/.."), listed(tree, "d/../../.."))
show("itself", tried(os.listdir, tree), tried(os.open, "", os.O_RDONLY, dir_fd=tree))
show("by proc", sorted(os.listdir(f"/proc/self/fd/{tree}")), os.stat(f"/proc/self/fd/{tree}/d/f").st_nlink, os.readlink(f"/proc/self/fd/{tree}"))
show("across", tried(os.rename, "d", own + "/a/d", src_dir_fd=tree), tried(os.link, "d/f", own + "/a/f", src_dir_fd=tree))
show("not there", tried(read, tree, "x"), tried(read, tree, "d/f/x"), tried(os.rmdir, "d", dir_fd=tree), tried(os.unlink, "again", dir_fd=tree))
inside = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=tree)
file = os.open("d/f", os.O_RDONLY, dir_fd=tree)
show("from inside", read(inside, "f"), listed(inside, ".."), read(inside, "../d/f"), os.readlink(f"/proc/self/fd/{inside}"))
show("moved", move(tree, "a"), sorted(os.listdir("a")), listed(tree), os.path.samestat(os.fstat(tree), os.stat("a")), listed(inside, ".."),
     os.readlink(f"/proc/self/fd/{inside}") == own + "/a/d", listed(tree, "..") == sorted(os.listdir(".")), listed(inside, "../..") == sorted(os.listdir(".")))
show("twice", move(tree, "b"), sorted(os.listdir("a")), sorted(os.listdir("b")))
show("unmounted", libc.umount2(b"b", 2), listed(tree), read(tree, "d/f"), listed(tree, ".."), listed(inside, ".."), move(tree, "a"))
os.close(tree)
show("closed", listed(inside), os.read(file, 9))

# Read-only, and with what may not be done there.
tree = tmpfs(1 | 8)
show("read-only", tried(write, tree, "f", "1"), tried(os.mkdir, "d", dir_fd=tree), listed(tree), tried(os.chmod, f"/proc/self/fd/{tree}", 0o700))
os.close(tree)

# A copy of what is mounted.
assert libc.mount(b"t", b"src/below", b"tmpfs", 0, None) == 0
write(HERE, "src/below/over", "mounted")
for flags in (0, RECURSIVE):
    tree = tree_of("src", flags)
    show("copied", listed(tree), listed(tree, "below"), read(tree, "file"), listed(tree, "below/.."), listed(tree, ".."))
    show("the same", os.path.samestat(os.stat("file", dir_fd=tree), os.stat("src/file")), tried(os.rmdir, "below", dir_fd=tree))
    write(tree, "new", "there")
    show("on both sides", os.listdir("src").count("new"), os.unlink("src/new"), listed(tree))
    os.close(tree)

# Going there.
tree = tree_of("src", RECURSIVE)
show("there", tried(os.fchdir, tree), sorted(os.listdir(".")), tried(os.getcwd), read(HERE, "file"), listed(HERE, "below"), listed(HERE, "below/.."), listed(HERE, ".."))
show("deeper", os.chdir("below"), sorted(os.listdir(".")), tried(os.getcwd), listed(HERE, ".."), os.chdir(".."), listed(HERE, "below"))
child = os.fork()
if child == 0:
    show("a child", sorted(os.listdir(".")), listed(HERE, "below"))
    os._exit(0)
os.waitpid(child, 0)
os.close(tree)
show("still there", sorted(os.listdir(".")))
os.chdir(own)

# A file.
tree = tree_of("src/file")
show("a file", stat.filemode(os.fstat(tree).st_mode), os.fstat(tree).st_size, tried(read, tree, "x"), tried(read, HERE, f"/proc/self/fd/{tree}"))
write(HERE, "c/f", "below")
show("onto", move(tree, "c"), move(tree, "c/f"), read(HERE, "c/f"))
os.close(tree)

# Trees in trees.
outer, inner = tmpfs(), tmpfs()
write(inner, "deep", "1")
os.mkdir("p", dir_fd=outer)
show("in another", call(MOVE_MOUNT, inner, "", outer, "p", 4), listed(outer, "p"), listed(inner, ".."), listed(outer, "p/.."))
show("both", move(outer, "c"), sorted(os.listdir("c/p")))
os.close(outer), os.close(inner)

# From there on.
tree = tree_of("src", RECURSIVE)
copy = call(OPEN_TREE, tree, "below", CLONE)
show("a copy of it", isinstance(copy, int) and listed(copy), call(OPEN_TREE, tree, "below", CLONE | 0x40))
opened = os.open("below", os.O_PATH, dir_fd=tree)
show("moved from there", move(opened, "c"), call(MOVE_MOUNT, tree, "below", HERE, "c", 0))
show("given", libc.mount(f"/proc/self/fd/{tree}".encode(), b"b", None, 4096, None), sorted(os.listdir("b")))

# Confined lookups, other attributes, programs.
def confined(at, path, resolve):
    how = (ctypes.c_uint64 * 3)(os.O_PATH, 0, resolve)
    done = libc.syscall(437, at, path.encode(), how, 24)
    if done < 0:
        return errno.errorcode[ctypes.get_errno()]
    names = sorted(os.listdir(f"/proc/self/fd/{done}"))
    os.close(done)
    return names


for resolve in (0x01, 0x08, 0x10):
    show("confined", resolve, confined(tree, "below", resolve), confined(tree, "..", resolve), confined(tree, "below/../..", resolve), confined(tree, "/below", resolve))
attributes = (ctypes.c_uint64 * 4)(1, 0, 0, 0)
show("made read-only", libc.syscall(SETATTR, tree, b"", EMPTY, attributes, 32), tried(write, tree, "g", ""), tried(write, tree, "below/g", ""), listed(tree, "below"))
programs = tmpfs()
with open("/bin/true", "rb") as source, open(os.open("true", os.O_WRONLY | os.O_CREAT, 0o755, dir_fd=programs), "wb") as to:
    to.write(source.read())
show("a program", os.spawnv(os.P_WAIT, f"/proc/self/fd/{programs}/true", ["true"]))
os.fchdir(programs)
show("from there", os.spawnv(os.P_WAIT, "./true", ["true"]), os.spawnv(os.P_WAIT, "./false", ["false"]))
os.chdir(own)
attributes = (ctypes.c_uint64 * 4)(8, 0, 0, 0)
show("not executable", libc.syscall(SETATTR, programs, b"", EMPTY, attributes, 32), os.spawnv(os.P_WAIT, f"/proc/self/fd/{programs}/true", ["true"]))
os.close(programs)
show("closed", sorted(os.listdir(".")))
