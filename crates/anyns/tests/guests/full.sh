#!/bin/sh
# In a new tmpfs with nr_inodes=6, mounted on the working directory: what is made when it is full, and what
# a remount says.
remount() { busybox mount -o remount,nr_inodes="$1" x "$PWD"; }

touch 1 2 3 4 5 6 7
ls
mkdir m
ln 1 l
ln -s 1 s
mkfifo f
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")' | tail -n1
touch 1 5
mkdir 1
chmod 500 .
setpriv --inh-caps=-all --bounding-set=-all mkdir m 2>&1 | sed 's/.*: //'
chmod 755 .
rm 1 2
mkdir m
ln 3 l
ls
touch x
df -i . | tail -n1 | tr -s ' ' | cut -d' ' -f2-4
mv 3 m/
rm -r m
mkdir -p a/b
ls
remount 7
touch y z
remount 2
ls
rm [0-9] l y
rmdir a/b a
remount 3
touch a b c
ls
remount 0
touch a b c
ls
remount 5
touch d e
ls
