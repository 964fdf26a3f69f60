"""What becomes of numbers that are chosen, and of those that are looked up by another way."""

import ctypes
import errno
import os
import struct

libc = ctypes.CDLL(None, use_errno=True)
CLONE3 = 435
NEWPID = 0x20000000


def born(flags, *chosen):
    numbers = ctypes.create_string_buffer(struct.pack(f"{len(chosen)}i", *chosen))
    block = struct.pack("QQQQQQQQQQ", flags, 0, 0, 0, 17, 0, 0, 0, ctypes.addressof(numbers), len(chosen))
    child = libc.syscall(CLONE3, ctypes.create_string_buffer(block, 80), 80)
    if child == 0:
        os._exit(0)
    if child < 0:
        return errno.errorcode[ctypes.get_errno()]
    os.waitpid(child, 0)
    return child


def given(what, child, wanted):
    text = child if isinstance(child, str) else "as chosen" if child == wanted else "the host's"
    print(what, text)


def put(file, text):
    try:
        with open(f"/proc/sys/kernel/{file}", "w") as opened:
            opened.write(text)
        return "written"
    except OSError as error:
        return errno.errorcode[error.errno]


print("init", os.getpid())
given("set_tid", born(0, 77), 77)
given("set_tid of both levels", born(NEWPID, 1, 78), 78)
given("set_tid out of range", born(0, 0), 0)
given("set_tid of the init", born(0, 1), 1)

print("ns_last_pid", put("ns_last_pid", "5000"))
child = os.fork()
if not child:
    os._exit(0)
os.waitpid(child, 0)
given("the next", child, 5001)
print("ns_last_pid below", put("ns_last_pid", "-1"))

# The least that it may be. The host's numbers begin again at 300, so one of three is beyond it.
print("pid_max", put("pid_max", "301"))
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        os.pause() if hasattr(os, "pause") else __import__("signal").pause()
    children.append(child)
print("beyond it", any(child > 301 for child in children))

with open(f"/proc/{children[0]}/status") as status:
    line = next(line for line in status if line.startswith("NSpid:"))
print("NSpid", [int(word) == children[0] for word in line.split()[1:]])
with open("/proc/1/status") as status:
    line = next(line for line in status if line.startswith("NSpid:"))
print("NSpid of the init", line.split()[1:])
for child in children:
    os.kill(child, 9)
    os.waitpid(child, 0)
