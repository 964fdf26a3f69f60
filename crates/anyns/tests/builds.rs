//! Programs that work on many files, in a sandbox, leave and print what they do natively; and the
//! calls of Bazel's and Nix's sandboxes get their results.

mod harness;

use harness::normal::Normal;
use harness::same::{Scripts, same};
use harness::{Place, Scratch};
use std::process::Command;

/// `box` runs a script in a sandbox where only the working directory can be written.
const START: &str = "exec 2>&1; export GIT_CONFIG_GLOBAL=/dev/null; \
    box() { bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --bind $PWD $PWD bash -c \"$@\"; }; \
    project() { mkdir -p src; for n in 1 2 3 4 5 6 7 8; do \
        printf '#include \"all.h\"\\nint f%s(int x) { return x + %s; }\\n' $n $n >src/f$n.c; done; \
    for n in 1 2 3 4 5 6 7 8; do echo \"int f$n(int x);\"; done >src/all.h; \
    printf '#include <stdio.h>\\n#include \"all.h\"\\nint main(void) { printf(\"%%d\\\\n\", f1(f8(1))); return 0; }\\n' >src/main.c; \
    printf 'O=$(patsubst %%.c,%%.o,$(wildcard src/*.c))\\nall: prog\\nprog: $(O)\\n\\t$(CC) -o $@ $^\\n%%.o: %%.c src/all.h\\n\\t$(CC) -c -o $@ $<\\nclean:\\n\\trm -f $(O) prog\\n' >Makefile; }; ";

#[track_caller]
fn equal(name: &str, hosted: &[Place], scripts: &[&str]) {
    let prepare = |scratch: &Scratch| {
        scratch.file("calls.py", include_str!("guests/calls.py"));
    };
    same(&Scripts { name, start: START, normal: &[Normal::Inodes], hosted, scripts }, prepare);
}

#[test]
fn builds() {
    equal(
        "builds",
        &[Place::Refused],
        &[
            "project; box 'make -s -j2 && ./prog && make -s && touch src/f3.c && make | wc -l && make -s clean; ls'; ls -R",
            "project; git init -q . && git add . && git -c user.name=a -c user.email=a@b commit -qm one; echo more >>src/main.c; box 'git status --short; git diff --stat; git -c user.name=a -c user.email=a@b commit -qam two; git log --format=%s; git checkout -q -b other; git branch; git gc -q; git fsck 2>&1 | head -n3; git clone -q . copy && ls copy'; git status --short",
            "project; box 'tar cf src.tar src && mkdir out && tar xf src.tar -C out && diff -r src out/src && echo same; cp -a src two && rsync -aH --delete src/ three/ && diff -r two three && echo same; find . -name \"f[12].c\" | sort; find src -newer Makefile | wc -l; du -s src >/dev/null && rm -r out two three; ls'",
            "box 'python3 - <<E\nimport os, shutil, sqlite3, tempfile\nwith tempfile.TemporaryDirectory() as d:\n    open(d + \"/x\", \"w\").write(\"x\" * 100000); shutil.copytree(d, \"tree\"); print(d.startswith(\"/tmp/\") or d)\nprint(os.path.getsize(\"tree/x\")); shutil.rmtree(\"tree\"); print(os.listdir(\".\"))\nE'",
            "box 'sqlite3 a.db \"pragma journal_mode=wal; create table t(x); insert into t values(1),(2)\"; (sqlite3 -cmd \".timeout 5000\" a.db \"begin immediate; insert into t values(3); commit\" & sqlite3 -cmd \".timeout 5000\" a.db \"insert into t values(4)\"; wait); sqlite3 a.db \"select sum(x) from t; pragma integrity_check\"; cp a.db /tmp/b.db; sqlite3 /tmp/b.db \"pragma journal_mode=wal; delete from t; select count(*) from t\"; ls'",
            "box 'mkdir -p a/b; for i in 1 2 3 4 5 6 7 8 9; do echo $i >a/b/$i; done; cd a/b; mv 1 ../one; ln 2 two; ln -s ../one link; cat link; cp -r ../../a /tmp/; cd /tmp/a; ls -R | sort | tail -n3; grep -r 5 . ; rm -r /tmp/a; ls /tmp; cd; pwd | wc -l'",
        ],
    );
}

#[test]
fn python_environments() {
    equal(
        "builds-venv",
        &[Place::Refused],
        &[
            "box 'python3 -m venv --without-pip v && v/bin/python -c \"import sys; print(sys.prefix != sys.base_prefix)\"; printf \"#!$PWD/v/bin/python\\nimport sys; print(sys.argv[1:])\\n\" >v/bin/tool; chmod +x v/bin/tool; v/bin/tool a b; . v/bin/activate; python -c \"import sys; print(sys.executable)\" | grep -c v/bin/python; python -m compileall -q v | wc -l'",
        ],
    );
}

/// What Nix builds whose result is known beforehand: all else gets a network namespace, too.
#[test]
fn nix() {
    equal(
        "builds-nix",
        &[Place::Refused, Place::Confined],
        &[
            "export HOME=$PWD USER=me NIX_STORE_DIR=$PWD/store NIX_STATE_DIR=$PWD/var NIX_LOG_DIR=$PWD/log NIX_CONF_DIR=$PWD/etc NIX_REMOTE=; \
             printf 'derivation { name=\"x\"; system=\"x86_64-linux\"; builder=\"/bin/busybox\"; args=[\"sh\" \"-c\" (builtins.readFile ./build)]; outputHashMode=\"flat\"; outputHashAlgo=\"sha256\"; outputHash=\"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\"; }' >t.nix; \
             printf 'exec 2>&1; b=/bin/busybox; $b id; $b hostname; $b ls / /etc /dev /dev/pts; $b stat -c \"%%n %%a %%u %%t\" /dev /dev/pts /dev/pts/ptmx; $b cat /etc/passwd /proc/self/uid_map /proc/1/comm; $b ps >ps; $b wc -l <ps; $b rm ps; $b mount | $b wc -l; $b ls -ln /build; $b touch /x; echo hello >$out' >build; \
             build() { nix-build --option sandbox true --option sandbox-fallback false --option substitute false --option sandbox-paths /bin/busybox --option build-users-group '' \"$@\" t.nix 2>&1 | sed 's,/[^ ]*/[0-9a-z]*-x,PATH,g'; }; \
             build; cat result; build; rm result; sed -i 's/hello/other/' build; build | sed '/specified/d; /got/d'; ls store | sed 's/.*-//' | sort",
        ],
    );
}

#[test]
fn node() {
    equal(
        "builds-node",
        &[Place::Refused],
        &[
            "cat $GUESTS/node.js >node.js; export TMPDIR=/tmp; box 'node node.js' | sed \"s,$(basename $PWD),HOME,\"",
        ],
    );
}

/// Rust's own tools, as they are on this machine, where an ordinary user may have them.
fn toolchain(scratch: &Scratch) {
    let rustc = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    let sysroot = String::from_utf8(rustc.stdout).unwrap();
    let copy = format!(
        "cd {} && mkdir {to}/bin {to}/lib && for how in -al -a; do \
             cp $how bin/cargo bin/rustc {to}/bin && cp $how lib/*.so* lib/rustlib {to}/lib && exit; done",
        sysroot.trim(),
        to = scratch.path().display(),
    );
    assert!(Command::new("sh").args(["-c", &copy]).status().unwrap().success(), "{copy}");
    let works = Command::new(scratch.path().join("bin/rustc")).arg("-vV").output().unwrap();
    assert!(works.status.success(), "{works:?}");
}

#[test]
fn cargo() {
    const CRATES: &str = r##"mkdir -p one/src two/src
        printf '[package]\nname = "one"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\ntwo = { path = "../two" }\n' >one/Cargo.toml
        printf 'fn main() { println!("{}", two::twice(21)); }\n#[test]\nfn works() { assert_eq!(two::twice(2), 4); }\n' >one/src/main.rs
        printf '[package]\nname = "two"\nversion = "0.1.0"\nedition = "2021"\n' >two/Cargo.toml
        printf 'pub fn twice(x: u32) -> u32 { include!(concat!(env!("OUT_DIR"), "/expr")) }\n' >two/src/lib.rs
        printf 'fn main() { std::fs::write(std::env::var("OUT_DIR").unwrap() + "/expr", "x * 2").unwrap(); }\n' >two/build.rs
        export HOME=$PWD PATH=$GUESTS/bin:$PATH CARGO_TERM_COLOR=never
        bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --ro-bind $GUESTS $GUESTS --bind $PWD $PWD bash -c '
            exec 2>&1; cd one; cargo build --offline && cargo run -q && cargo test -q && touch src/main.rs &&
            cargo build && ls target/debug; cargo clean 2>&1 | grep -c Removed' |
            sed "s,$PWD,HOME,; s/ in [0-9.]*s/ in a while/""##;
    same(
        &Scripts {
            name: "builds-cargo",
            start: "exec 2>&1; ",
            normal: &[],
            hosted: &[Place::Refused, Place::Confined],
            scripts: &[CRATES],
        },
        toolchain,
    );
}

#[test]
fn sandboxes_of_build_tools() {
    equal(
        "builds-calls",
        &[Place::Refused, Place::Confined],
        &[
            "python3 $GUESTS/calls.py bazel d | sed \"s,$PWD,HOME,g\"",
            "python3 $GUESTS/calls.py nix d | sed \"s,$PWD,HOME,g\"",
        ],
    );
}
