#!/usr/bin/python3
"""What descriptors of a mounted file of a namespace show: the first mount of a namespace of one's own."""
import os

path = lambda fd: print(os.readlink(f"/proc/self/fd/{fd}").replace(os.getcwd(), "PWD"))
there = os.open("f", os.O_PATH)
opened = os.open("f", os.O_RDONLY)
copy = os.dup(opened)
again = os.open(f"/proc/self/fd/{opened}", os.O_RDONLY)
everything = (there, opened, copy, again)
for fd in everything:
    path(fd)
same = os.stat("/proc/self/ns/uts").st_ino
print([os.stat(one).st_ino == same for one in everything + ("f",)])
itself = os.open("/proc/self/ns/uts", os.O_RDONLY)
print(os.readlink(f"/proc/self/fd/{itself}")[:5])
if os.fork() == 0:
    path(there)
    os._exit(0)
os.wait()
os.system("umount -l f")
for fd in everything:
    path(fd)
print(os.stat("f").st_ino == same, os.fstat(opened).st_ino == same)
