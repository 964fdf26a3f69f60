#!/usr/bin/python3
"""One of several threads parts from the others: unshare(CLONE_NEWNS), and what its directories are then."""
import ctypes
import os
import subprocess
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
NEWNS, FS = 0x20000, 0x200
top = os.getcwd()
short = lambda path: path.replace(top, "TOP")
turn = threading.Semaphore(0)
back = threading.Semaphore(0)


def others(do):
    """Has the main thread do something meanwhile."""
    global task
    task = do
    back.release()
    turn.acquire()


def said(name, done):
    print(name, done, os.strerror(ctypes.get_errno()) if done < 0 else "", flush=True)


def where(who):
    print(who, short(os.getcwd()), sorted(os.listdir(".")), flush=True)


def run():
    os.chdir("one")
    where("before")
    said("unshare", libc.unshare(int(sys.argv[1], 0)))
    where("after")
    os.chdir("../two")
    where("moved")
    others(lambda: where("main"))
    others(lambda: os.chdir(".."))
    where("still")
    open("made", "w").write("x")
    if int(sys.argv[1], 0) & NEWNS:
        said("mount", libc.mount(b"t", b"sub", b"tmpfs", 0, None))
        os.chdir("sub")
        open("inner", "w").write("y")
        where("mounted")
        others(lambda: print("main", os.listdir("two/sub")))
        os.chdir("..")
    link = f"/proc/self/task/{threading.get_native_id()}/cwd"
    print(short(os.readlink(link)), short(os.readlink("/proc/thread-self/cwd")), short(os.readlink("/proc/self/cwd")))
    print(sorted(os.listdir("/proc/thread-self/cwd/")), os.stat(link).st_ino == os.stat(".").st_ino)
    print(subprocess.run(["sh", "-c", "pwd; ls; ./prog a; cd ..; pwd; cat one/file; cd sub 2>/dev/null; ls -d /proc/self/cwd/."], capture_output=True, text=True).stdout.replace(top, "TOP"), end="")
    child = os.fork()
    if child == 0:
        where("child")
        os.chdir("..")
        where("child")
        open("fromchild", "w").close()
        os._exit(0)
    os.waitpid(child, 0)
    where("parent")
    fd = os.open("../one", os.O_RDONLY)
    os.fchdir(fd)
    where("fchdir")
    fd = os.open("..", os.O_PATH)
    os.fchdir(fd)
    where("path")
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir("../gone")
    for what in (os.getcwd, lambda: open("x", "w"), lambda: os.chdir("..")):
        try:
            print(what())
        except OSError as error:
            print(error.strerror)
    os.chdir(top + "/two")
    # A thread of its own shares its directories.
    numbers = []
    other = threading.Thread(target=lambda: (numbers.append(threading.get_native_id()), os.chdir("../one")))
    other.start()
    other.join()
    # It is over a little before it has ended, and shares them until then.
    while os.path.exists(f"/proc/self/task/{numbers[0]}"):
        time.sleep(0.001)
    where("after its thread")
    for path in ("nothing", "prog", "closed"):
        try:
            os.chdir("../two/" + path)
        except OSError as error:
            print(path, error.strerror)
    if int(sys.argv[1], 0) & NEWNS:
        mounts = os.open(f"/proc/{os.getpid()}/ns/mnt", os.O_RDONLY)
        os.chdir(top)
        said("bind", libc.mount(b"two", b"two", None, 0x5000, None))
        os.chdir("two")
        said("pivot_root", libc.syscall(155, b".", b"."))
        said("umount", libc.umount2(b".", 2))
        os.chdir("/")
        where("root")
        # Back to where the others are.
        said("setns", libc.setns(mounts, 0))
        print("joined", os.getcwd(), os.listdir(top + "/two/sub"))
        others(lambda: where("main"))


def thread():
    global task
    try:
        run()
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    task = None
    back.release()


os.makedirs("one")
os.makedirs("two/sub")
open("one/file", "w").write("text\n")
open("two/prog", "w").write("#!/bin/sh\necho $0 $1\n")
os.chmod("two/prog", 0o755)
os.mkdir("two/closed", 0)
threading.Thread(target=thread).start()
while True:
    back.acquire()
    if task is None:
        break
    task()
    turn.release()
where("main")
