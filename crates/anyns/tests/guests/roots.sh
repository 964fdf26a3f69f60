# Makes root directories of this machine's files; see harness/roots.rs.
umask 022

directories() {
    mkdir -p "$1/bin" "$1/dev" "$1/etc" "$1/lib" "$1/lib64" "$1/mnt" "$1/proc" "$1/sys" "$1/tmp" \
        "$1/usr/bin" "$1/home" "$1/old"
    chmod 1777 "$1/tmp" "$1/home"
    echo "root:x:0:0::/:/bin/sh" >"$1/etc/passwd"
    printf '#!/bin/sh\necho "script $0 $*"\n' >"$1/bin/script"
    printf '#!/bin/facts  one argument \n' >"$1/bin/factscript"
    printf '#!/bin/factscript two\n' >"$1/bin/deepscript"
    printf '#!/nothing\n' >"$1/bin/badscript"
    printf '#!bin/facts\n' >"$1/bin/relscript"
    echo text >"$1/bin/text"
    chmod 755 "$1"/bin/*script "$1/bin/text"
    : >"$1/bin/empty"
    chmod 755 "$1/bin/empty"
    cp "$1/bin/script" "$1/bin/notexec"
    chmod 644 "$1/bin/notexec"
    ln -s facts "$1/bin/link"
    ln -s loop "$1/bin/loop"
}

# Copies programs with the libraries they need.
programs() {
    root=$1
    shift
    for name; do
        program=$(which "$name")
        cp -L "$program" "$root/bin/"
        ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
            mkdir -p "$root/$(dirname "$library")"
            test -e "$root/$library" || cp -L "$library" "$root/$library"
        done
    done
}

directories glibc
programs glibc bash dash ls cat env readlink stat mkdir touch rm mv ln cp id pwd mount umount head grep \
    chroot true sleep pivot_root unshare
mv glibc/bin/dash glibc/bin/sh
gcc -O1 -o glibc/bin/facts facts.c
gcc -O1 -static -o glibc/bin/facts-static facts.c
gcc -O1 -no-pie -o glibc/bin/facts-fixed facts.c
gcc -O1 -Wl,--dynamic-linker=/ld.so -o glibc/bin/facts-short facts.c
cp glibc/lib64/ld-linux-x86-64.so.2 glibc/ld.so

directories musl
musl-gcc -O1 -o musl/bin/facts facts.c
cp -L /lib/ld-musl-x86_64.so.1 musl/lib/
cp /bin/busybox musl/bin/
for name in sh ls cat env readlink; do ln -s busybox "musl/bin/$name"; done

directories busybox
gcc -O1 -static -o busybox/bin/facts facts.c
cp /bin/busybox busybox/bin/
busybox --list | while read -r name; do
    test -e "busybox/bin/$name" || ln -s busybox "busybox/bin/$name"
done
