//! What the root of a user namespace may do to files of its own whatever their modes say, as natively:
//! with the capabilities for that and without them, where it sees mounts of its own and where it sees
//! the host's.

mod harness;

use harness::Place;
use harness::same::{Scripts, same};

#[track_caller]
fn equal(name: &str, scripts: &[&str]) {
    let hosted = &[Place::Refused, Place::Confined];
    same(&Scripts { name, start: "exec 2>&1; ", normal: &[], hosted, scripts }, |_| {});
}

#[test]
fn among_mounts_of_its_own() {
    equal(
        "rights-mounts",
        &[
            "unshare -Urm sh -c 'mkdir m; mount -t tmpfs x m; python3 $GUESTS/rights.py d; python3 $GUESTS/rights.py m/d'",
            "unshare -Urm sh -c 'mkdir m; mount -t tmpfs x m; python3 $GUESTS/rights.py d search'",
            "unshare -Urm sh -c 'mkdir m; mount -t tmpfs x m; python3 $GUESTS/rights.py d plain'; chmod -R u+rwx d; ls",
        ],
    );
}

#[test]
fn among_the_hosts_mounts() {
    equal(
        "rights-host",
        &[
            "unshare -Ur python3 $GUESTS/rights.py d",
            "unshare -Ur python3 $GUESTS/rights.py d search",
            "unshare -Ur python3 $GUESTS/rights.py d plain; chmod -R u+rwx d; ls",
            "python3 $GUESTS/rights.py d; chmod -R u+rwx d; ls",
        ],
    );
}

/// What is nobody's of the caller's user namespace is closed to its root as to everybody.
#[test]
fn what_is_somebody_elses() {
    equal(
        "rights-others",
        &[
            "for m in '' m; do unshare -Ur$m sh -c 'cat /etc/shadow; ls /root; touch /etc/x; mkdir /root/x; cd /root; test -r /etc/shadow; echo $?; test -x /root; echo $?'; done",
            "mkdir d; chmod 0 d; unshare -U sh -c 'ls d; touch d/x'; unshare -Ur setpriv --bounding-set=-all --inh-caps=-all sh -c 'ls d; touch d/x'; unshare -Ur sh -c 'ls d; touch d/x; ls d'; ls d; stat -c %a d; chmod 700 d",
        ],
    );
}

/// Many at once do not leave a mode behind that was only lifted.
#[test]
fn many_at_once() {
    equal(
        "rights-many",
        &[
            "mkdir d; echo x >d/f; chmod 0 d/f; chmod 555 d; for m in '' m; do unshare -Ur$m sh -c '[ -z \"$1\" ] || mount -t tmpfs x /mnt; for i in 1 2 3 4; do (for j in 1 2 3 4 5 6 7 8 9; do echo $j >d/$i.$j && cat d/f d/$i.$j && mkdir d/$i && rmdir d/$i && rm d/$i.$j; done) & done; wait' sh $m | sort | uniq -c; stat -c '%a %n' d d/f; done",
            "mkdir d; chmod 555 d; unshare -Urm sh -c 'mount -t tmpfs x /mnt; (for j in 1 2 3 4 5 6 7 8 9; do : >d/$j; done) & wait; chmod 500 d; : >d/x; stat -c %a d'; stat -c %a d; chmod 700 d",
        ],
    );
}

/// Archives and trees with directories that nobody may write, as package managers leave them.
#[test]
fn trees_that_are_read_only() {
    equal(
        "rights-trees",
        &[
            "mkdir -p t/a/b; echo x >t/a/b/f; chmod 444 t/a/b/f; chmod 555 t/a/b t/a; for m in '' m; do unshare -Ur$m sh -c '[ -z \"$1\" ] || mount -t tmpfs x /mnt; tar cf t.tar t; mkdir out; tar xpf t.tar -C out; cp -a t copy; find out copy -printf \"%m %u %p\\n\" | sort; echo more >>out/t/a/b/f; cat out/t/a/b/f; mv out/t/a/b out/t/b; ls out/t; rm -rf out copy; ls' sh $m; done; chmod -R u+w t",
        ],
    );
}
