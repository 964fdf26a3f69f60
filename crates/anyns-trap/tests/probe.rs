//! What the probe finds behind filters from outside.
//!
//! One test, because its children go on in a copy of the memory: no other thread may be in the
//! middle of something then.

use anyns_trap::Denied;
use anyns_trap::filter::{Action, Row, Test};
use anyns_trap::probe::ask;
use anyns_trap::raw::{self, Birth, Errno, Instruction};
use rustix::io::{read, write};
use rustix::pipe::{PipeFlags, pipe_with};

/// The flags of clone that name types of namespaces.
const NEW: u32 = 0x7e02_0000;

#[test]
fn filters_from_outside() {
    what_an_outer_filter_answers_is_found_and_nothing_else();
    an_outer_enosys_is_found_where_it_matters();
    a_call_that_kills_is_told_and_the_others_are_still_asked();
}

fn row(nr: i64, test: Test) -> Row {
    Row { nr, test, action: Action::Notify }
}

/// A filter that gives `value` to call `nr` when `bits` of its first argument are set (0: to
/// every call of the number).
fn outside(nr: i64, bits: u32, value: u32) -> Vec<Instruction> {
    let op = |code, jt, jf, k| Instruction { code, jt, jf, k };
    let mut program =
        vec![op(0x20, 0, 0, 0), op(0x15, 0, if bits == 0 { 1 } else { 3 }, nr as u32)];
    if bits != 0 {
        program.extend([op(0x20, 0, 0, 16), op(0x45, 0, 1, bits)]);
    }
    program.extend([op(0x06, 0, 0, value), op(0x06, 0, 0, 0x7fff_0000)]);
    program
}

/// What is found behind such a filter, by a child that tells it as text.
fn behind(filter: &[Instruction], rows: &[Row]) -> String {
    let (answer, told) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    match raw::fork().unwrap() {
        Birth::Child => {
            rustix::thread::set_no_new_privs(true).unwrap();
            raw::install_filter(filter).unwrap();
            let found = ask(rows).unwrap();
            let _ = write(
                &told,
                format!("{:?} {:?} {}", found.denied, found.ptrace, found.no_clone3).as_bytes(),
            );
            raw::exit_now(0)
        }
        Birth::Parent { child, .. } => {
            drop(told);
            let mut text = vec![0; 4096];
            let got = read(&answer, &mut text).unwrap();
            raw::wait(child).unwrap();
            String::from_utf8(text[..got].to_vec()).unwrap()
        }
    }
}

const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const KILL: u32 = 0x8000_0000;

fn what_an_outer_filter_answers_is_found_and_nothing_else() {
    let rows = [
        row(libc::SYS_unshare, Test::Always),
        row(libc::SYS_clone, Test::Always),
        row(libc::SYS_setns, Test::Always),
        row(libc::SYS_ioctl, Test::Eq { arg: 1, value: 1 }),
        // Would stop the child if it were executed.
        row(libc::SYS_pause, Test::Always),
    ];
    let denied = |nr, test| Denied { nr, test, errno: 1 };
    let newuser = libc::CLONE_NEWUSER as u32;
    for (nr, bits, expected) in [
        (libc::SYS_reboot, 0, vec![]),
        (libc::SYS_unshare, 0, vec![denied(libc::SYS_unshare, Test::Always)]),
        (libc::SYS_clone, newuser, {
            vec![denied(libc::SYS_clone, Test::AnyBits { arg: 0, mask: NEW })]
        }),
        (libc::SYS_pause, 0, vec![denied(libc::SYS_pause, Test::Always)]),
    ] {
        let found = behind(&outside(nr, bits, EPERM), &rows);
        assert_eq!(found, format!("{expected:?} Ok(()) false"), "{nr}");
    }
    let found = behind(&outside(libc::SYS_ptrace, 0, EPERM), &rows);
    assert_eq!(found, format!("[] {:?} false", Err::<(), _>(Errno::PERM)));
}

fn an_outer_enosys_is_found_where_it_matters() {
    let rows = [row(libc::SYS_unshare, Test::Always), row(libc::SYS_clone3, Test::Always)];
    let found = behind(&outside(libc::SYS_unshare, 0, ENOSYS), &rows);
    let errno = libc::ENOSYS as u16;
    let denied = [Denied { nr: libc::SYS_unshare, test: Test::Always, errno }];
    assert_eq!(found, format!("{denied:?} Ok(()) false"));
    assert_eq!(behind(&outside(libc::SYS_clone3, 0, ENOSYS), &rows), "[] Ok(()) true");
}

fn a_call_that_kills_is_told_and_the_others_are_still_asked() {
    let rows = [row(libc::SYS_sethostname, Test::Always), row(libc::SYS_uname, Test::Always)];
    let found = behind(&outside(libc::SYS_sethostname, 0, KILL), &rows);
    let denied = [Denied { nr: libc::SYS_sethostname, test: Test::Always, errno: 0 }];
    assert_eq!(found, format!("{denied:?} Ok(()) false"));
}
