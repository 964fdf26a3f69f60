//! The uts room. Results were observed on Linux 6.18.
#![cfg(not(loom))]

mod common;

use common::*;
use nsproxy::{creds::*, *};
use std::sync::Arc;

fn host(task: &Task) -> String {
    task.nsproxy().unwrap().uts.names().host.to_text()
}

fn sethostname(task: &Arc<Task>, name: &[u8]) -> Result<(), Refusal> {
    prepare_set_name(task, Name::Host, name.len() as i64).map(|set| set.commit(name))
}

#[test]
fn a_copy_starts_equal_and_goes_its_own_way() {
    let system = &boot();
    let task = root(system);
    assert_eq!(host(&task), "first");
    unshare(&task, NEWUTS).unwrap();
    assert_eq!(host(&task), "first");
    sethostname(&task, b"second").unwrap();
    assert_eq!((host(&task), host(&root(system))), ("second".into(), "first".into()));
    let names = task.nsproxy().unwrap().uts.names();
    assert_eq!(names.domain.to_text(), "(none)");
}

#[test]
fn the_capability_is_judged_before_the_length_and_in_the_owner() {
    let system = &boot();
    let nobody = user(system, 1000);
    assert_eq!(refused(prepare_set_name(&nobody, Name::Host, 70)), Rule::UtsNeedsAdmin);
    let task = root(system);
    for len in [65, -1, i64::from(i32::MAX), 1 << 31] {
        assert_eq!(refused(prepare_set_name(&task, Name::Domain, len)), Rule::UtsNameLength);
    }
    assert_eq!(prepare_set_name(&task, Name::Domain, 64).unwrap().len(), 64);
    assert_eq!(prepare_set_name(&task, Name::Host, (1 << 32) | 3).unwrap().len(), 3);
    // A new user namespace alone does not own the uts namespace.
    let task = user(system, 1000);
    unshare(&task, NEWUSER).unwrap();
    assert_eq!(refused(sethostname(&task, b"x")), Rule::UtsNeedsAdmin);
    unshare(&task, NEWUTS).unwrap();
    sethostname(&task, b"x").unwrap();
}

#[test]
fn bytes_are_kept_verbatim_and_read_up_to_a_nul() {
    let system = &boot();
    let task = root(system);
    sethostname(&task, b"ab\0cd").unwrap();
    let name = task.nsproxy().unwrap().uts.names().host;
    assert_eq!(name.as_bytes(), b"ab");
    assert_eq!(&name.field()[..7], b"ab\0cd\0\0");
    sethostname(&task, b"").unwrap();
    assert_eq!(task.nsproxy().unwrap().uts.names().host.field(), &[0; 65]);
}

#[test]
fn the_sysctl_file_cuts_continues_and_ignores() {
    let system = &boot();
    let (uts, root) = (system.init_uts(), root(system).cred());
    for (text, offset, expected) in [
        (&b"abcdef"[..], 0, "abcdef\n"),
        (b"XY", 2, "abXY\n"),
        (b"zz", 4, "abXYzz\n"),
        (b"q", 5, "abXYzq\n"),
        (b"q", 9, "abXYzq\n"),
        (b"ab\0cd", 0, "ab\n"),
        (b"l1\nl2", 0, "l1\n"),
        (&[b'x'; 70], 0, &format!("{}\n", "x".repeat(64))),
        (b"", 0, &format!("{}\n", "x".repeat(64))),
        (b"yy", 63, &format!("{}y\n", "x".repeat(63))),
        (b"yy", 64, &format!("{}y\n", "x".repeat(63))),
        (b"\n", 0, "\n"),
    ] {
        assert_eq!(set_name_sysctl(&uts, Name::Host, &root, offset, text), Ok(text.len()));
        let read = read_name_sysctl(&uts, Name::Host);
        assert_eq!(read.escape_ascii().to_string(), expected.as_bytes().escape_ascii().to_string());
    }
    let task = system.adopt(None, Cred::clone(&root));
    sethostname(&task, b"ab\0cd").unwrap();
    set_name_sysctl(&uts, Name::Host, &root, 1, b"q").unwrap();
    assert_eq!(&uts.names().host.field()[..6], b"aq\0cd\0");
}

#[test]
fn the_sysctl_file_asks_for_the_user_and_not_for_capabilities() {
    let system = &boot();
    let task = root(system);
    capset(&task, CapSet::EMPTY, CapSet::EMPTY, CapSet::EMPTY).unwrap();
    may_write_name_file(&task.cred()).unwrap();
    set_name_sysctl(&system.init_uts(), Name::Domain, &task.cred(), 0, b"d").unwrap();
    let strong = user_with(system, 1000, Cap::ALL).cred();
    assert_eq!(refused(may_write_name_file(&strong)), Rule::UtsFileNeedsRoot);
    let result = set_name_sysctl(&system.init_uts(), Name::Domain, &strong, 0, b"e");
    assert_eq!(refused(result), Rule::UtsFileWriterNeedsRoot);
    assert_eq!(read_name_sysctl(&system.init_uts(), Name::Domain), b"d\n");
    // Root inside a user namespace is nobody here.
    let inside = inner_root(system, 1000).cred();
    assert_eq!(refused(may_write_name_file(&inside)), Rule::UtsFileNeedsRoot);
}
