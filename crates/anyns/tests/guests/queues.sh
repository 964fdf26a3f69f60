# A mount of type mqueue, in ipc and mount namespaces of one's own: $1 is a directory for it.
set -- $(realpath $1)
mount -t mqueue x $1
cd $1
sizes() { ls -la --time-style=+ | awk '!/total/ { if ($1 ~ /^d/) $5 = "-"; print }' | grep -v ' \.\.$'; }
sizes
touch q && touch q; echo touch $?
python3 -c '
import ctypes, os
c = ctypes.CDLL("librt.so.1", use_errno=True)
print(c.mq_open(b"/r", os.O_CREAT | os.O_RDWR, 0o640, None) >= 0)
fd = c.mq_open(b"/r", os.O_RDWR)
print(c.mq_send(fd, b"hello", 5, 0), os.read(fd, 99))
by_path = os.open("r", os.O_RDWR | os.O_NONBLOCK)
text = ctypes.create_string_buffer(8192)
print(c.mq_receive(by_path, text, 8192, None), text.value, c.mq_receive(by_path, text, 8192, None))
print(os.open("new", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o604) >= 0, c.mq_open(b"/new", os.O_RDONLY) >= 0)
try:
    os.open("new", os.O_CREAT | os.O_EXCL)
except OSError as error:
    print(error.strerror)
os.mknod("node", 0o600); print(c.mq_unlink(b"/node"))
'
sizes
stat -fc %T . q
cat r
chmod 200 r; chmod 1700 .; sizes
cat r q >/dev/null; ls none q/
rm r; rm r; rmdir q; mkdir d q; ln -s a b; ln q s; mv q t; mknod p p; mkfifo q; echo x >q; : >m
python3 -c '
import ctypes
c = ctypes.CDLL("librt.so.1", use_errno=True)
print(c.mq_unlink(b"/q"), c.mq_unlink(b"/t"), ctypes.get_errno())'
touch . ; sizes; rm *; sizes
unshare -i touch later; ls; unshare -i sh -c "ls; rm later"; ls
cd /; mount -o remount,ro $1; touch $1/x; rm $1/x; umount $1; ls $1
