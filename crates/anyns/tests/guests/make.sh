# A build with a job server: 24 C files on two jobs, then again with nothing to do, then a failure.
mkdir src && for i in $(seq 24); do echo "int f$i(int x) { return x + $i; }" >src/f$i.c; done
{ for i in $(seq 24); do echo "int f$i(int);"; done
  echo '#include <stdio.h>'; echo 'int main(void) { int s = 0;'
  for i in $(seq 24); do echo "s += f$i(s);"; done; echo 'printf("sum %d.", s); return 0; }'; } >src/main.c
cat >Makefile <<'M'
objects := $(patsubst src/%.c,out/%.o,$(sort $(wildcard src/*.c)))
program: $(objects); @cc -o $@ $^ && echo linked $(words $^)
out/%.o: src/%.c | out; @cc -O1 -c -o $@ $<
out: ; @mkdir $@
.PHONY: recurse fail
recurse: ; @$(MAKE) --no-print-directory -C . program && echo recursed
fail: ; @echo failing; exit 3
M
make -s -j2 program; echo "status $?"; ./program
touch src/f3.c; make -s -j2 recurse; make -s program
make fail; echo "status $?"; make -n program; make nothing; echo "status $?"
make -j2 -s -k fail program; echo "status $?"; sha256sum program out/f1.o | cut -d' ' -f1
