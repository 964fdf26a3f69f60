//! What is asked by an embedder that serves real processes: whose memory, numbers and waiting are
//! somebody else's, and which looks before it acts. No scenario asks that way.
#![cfg(not(loom))]

mod common;

use CloneFlags as F;
use common::*;
use nsproxy::{ipc::*, *};
use std::sync::{Arc, Mutex};

struct Kept;

impl Part for Kept {}

fn kept() -> Arc<dyn Part> {
    Arc::new(Kept)
}

fn of(task: &Task) -> nsproxy::Arc<IpcNs> {
    nsproxy::Arc::clone(&task.nsproxy().unwrap().ipc)
}

fn message(kind: i64, text: &[u8]) -> Message {
    Message { kind, text: text.into() }
}

#[test]
fn something_is_kept_of_objects_that_are_made() {
    let system = boot();
    let task = root(&system);
    for _ in 0..3 {
        assert_eq!(msgget(&task, 0, 0o600), Ok(of(&task).ids(Sort::Msg).len() as i32 - 1));
    }
    let known = |sort, id| of(&task).part(sort, id).is_some();
    let msg = msgget_with(&task, 7, 0o1600, kept).unwrap();
    assert_eq!((msg, known(Sort::Msg, msg), known(Sort::Msg, 0)), (3, true, false));
    assert_eq!(msgget_with(&task, 7, 0, || panic!("it is there")), Ok(3));
    for id in 0..2 {
        assert_eq!(semget_with(&task, 0, 1, 0o600, kept), Ok(id));
        assert_eq!(shmget_with(&task, 0, 1, 0o600, || Ok::<_, ()>(kept())), Ok(Ok(id)));
    }
    assert_eq!(semget_with(&task, 9, 1, 0o1600, kept), Ok(2));
    assert_eq!(shmget_with(&task, 9, 1, 0o1600, || Ok::<_, ()>(kept())), Ok(Ok(2)));
    assert!(known(Sort::Sem, 2) && known(Sort::Shm, 2));
    // What cannot be made has not been.
    assert_eq!(shmget_with(&task, 0, 1, 0o600, || Err("no memory")), Ok(Err("no memory")));
    assert_eq!(of(&task).ids(Sort::Shm), [0, 1, 2]);
    assert_eq!(semget_with(&task, 0, 1, 0o600, kept), Ok(3));
}

#[test]
fn a_message_is_judged_before_it_is_read() {
    let system = boot();
    let task = root(&system);
    assert_eq!(check_msgsnd(&task, 8192, 1), Ok(()));
    assert_eq!(refused(check_msgsnd(&task, 8193, 1)), Rule::MsgTooLong);
    assert_eq!(refused(check_msgsnd(&task, 1, 0)), Rule::MsgTypeInvalid);

    let id = msgget(&task, 0, 0o600).unwrap();
    assert!(!msgsnd_waits(&task, id, 8192));
    for _ in 0..2 {
        msgsnd(&task, id, message(1, &[0; 8192]), true).unwrap();
    }
    assert!(msgsnd_waits(&task, id, 1) && !msgsnd_waits(&task, id, 0));
    assert!(!msgsnd_waits(&task, id + 1, 1));
}

#[test]
fn a_message_is_copied_by_its_place() {
    let system = boot();
    let task = root(&system);
    let id = msgget(&task, 0, 0o600).unwrap();
    for (kind, text) in [(5, b"five"), (1, b"once")] {
        msgsnd(&task, id, message(kind, text), true).unwrap();
    }
    let want =
        |kind| Receive { size: 9, kind, except: false, cut: false, nowait: true, copy: true };
    for _ in 0..2 {
        for (place, kind) in [(0, 5), (1, 1)] {
            match msgrcv(&task, id, want(place)).unwrap() {
                Received::Done(message) => assert_eq!(message.kind, kind),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(refused(msgrcv(&task, id, want(2))), Rule::MsgNoneWanted);
}

#[test]
fn a_set_says_how_many_values_it_takes() {
    let system = boot();
    let task = root(&system);
    let id = semget(&task, 0, 3, 0o400).unwrap();
    assert_eq!(may_sem_set_all(&task, id), Ok(3));
    assert_eq!(refused(may_sem_set_all(&user(&system, 1000), id)), Rule::IpcModeForbids);
}

#[test]
fn somebody_else_counts_attachments() {
    let system = boot();
    let task = root(&system);
    let ns = of(&task);
    let make = || shmget_with(&task, 0, 1, 0o600, || Ok::<_, ()>(kept())).unwrap().unwrap();
    let (one, two) = (make(), make());
    let how = Attach { read_only: true, execute: false };
    assert!(may_shmat(&task, one, how).unwrap().is_some());
    assert_eq!(refused(may_shmat(&user(&system, 1000), one, how)), Rule::IpcModeForbids);

    ns.set_attached(one, 2, false);
    assert_eq!(shm_stat(&task, By::Id(one)).unwrap().attached, 2);
    assert_eq!(ns.transient_segments(), []);
    shm_remove(&task, one).unwrap();
    assert_eq!(ns.transient_segments(), [one]);
    ns.set_attached(one, 1, false);
    assert_eq!(ns.ids(Sort::Shm), [one, two]);
    ns.set_attached(one, 0, false);
    assert_eq!(ns.ids(Sort::Shm), [two]);

    // One that nobody has had yet stays, whatever goes when it is let go of.
    write_ipc_file(&ns, IpcFile::ShmRmidForced, &task.cred(), 0, b"1").unwrap();
    assert_eq!(ns.transient_segments(), [two]);
    ns.set_attached(two, 0, false);
    assert_eq!(ns.ids(Sort::Shm), [two]);
    ns.set_attached(two, 0, true);
    assert_eq!(ns.ids(Sort::Shm), []);
    let three = make();
    ns.set_attached(three, 1, false);
    ns.set_attached(three, 0, false);
    assert_eq!(ns.ids(Sort::Shm), []);
}

#[test]
fn whether_it_is_the_first_and_whether_it_is_shared() {
    let system = boot();
    let task = root(&system);
    assert!(of(&task).is_initial() && !task.shares_directories());
    let child = prepare_clone(&task, &CloneArgs::legacy(F::FS.bits() | 17)).unwrap().commit();
    assert!(task.shares_directories() && child.shares_directories());
    unshare(&task, F::NEWIPC | F::FS).unwrap();
    assert!(!of(&task).is_initial() && !task.shares_directories());
    exit(&child);
    assert!(!child.shares_directories());
}

#[test]
fn a_namespace_whose_init_was_not_born_is_spoilt() {
    let system = System::new(Config { numbers: Numbers::Given, ..Config::default() });
    let task = root(&system);
    let init = system.init_pid();
    init.spoil();
    assert!(!init.is_dead());
    unshare(&task, F::NEWPID).unwrap();
    let waiting = nsproxy::Arc::clone(&task.nsproxy().unwrap().pid_for_children);
    assert!(!waiting.is_dead());
    waiting.spoil();
    assert!(waiting.is_dead());
    assert_eq!(refused(prepare_clone(&task, &CloneArgs::fork())), Rule::CloneNamespaceDead);
}

#[test]
fn a_number_is_taken_by_whoever_is_called_by_it() {
    let system = boot();
    let task = root(&system);
    let number = task.number_in(&system.init_pid()).unwrap();
    assert!(system.init_pid().is_taken(number) && !system.init_pid().is_taken(number + 1));
}

#[test]
fn an_onlooker_hears_where_a_task_was() {
    #[derive(Default)]
    struct Heard(Mutex<Vec<(Ids, Ids)>>);
    impl Events for Heard {
        fn event(&self, event: &Event<'_>) {
            if let Event::Switched { old, new, .. } = event {
                self.0.lock().unwrap().push((*old, *new));
            }
        }
    }
    let heard = Arc::new(Heard::default());
    let system = System::with_events(Config::default(), Arc::clone(&heard) as Arc<dyn Events>);
    let task = root(&system);
    let before = task.ids();
    unshare(&task, F::NEWUTS).unwrap();
    assert_eq!(*heard.0.lock().unwrap(), [(before, task.ids())]);
}

#[test]
fn numbers_are_the_embedder_s_to_give() {
    let system = System::new(Config { numbers: Numbers::Given, ..Config::default() });
    let all = system.init_pid();
    let task = root(&system);
    assert_eq!(task.number_in(&all), None);
    task.set_number(500);
    task.set_number(501);
    assert_eq!(task.number_in(&all), Some(500));
    assert!(all.is_taken(500) && !all.is_taken(501));

    let born = |by: &Arc<Task>, flags: F, signal: u64, number| {
        let args = CloneArgs::legacy(flags.bits() | signal);
        prepare_clone(by, &args).unwrap().commit_as(number)
    };
    let init = born(&task, F::NEWPID, 17, 600);
    let inside = init.pid_ns().unwrap();
    assert_eq!((init.number_in(&all), init.number_in(&inside)), (Some(600), Some(1)));
    let found = |number| inside.find(number).map(|task| task.id());
    assert_eq!((found(1), found(600)), (Some(init.id()), Some(init.id())));
    let thread = born(&init, F::VM | F::SIGHAND | F::THREAD, 0, 601);
    let child = born(&init, F::empty(), 17, 602);
    assert_eq!((thread.number_in(&inside), child.number_in(&inside)), (Some(601), Some(602)));
    assert_eq!((init.is_init(), child.is_init()), (true, false));
    assert_eq!(read_last_pid(&child).as_deref(), Some("602\n"));
    assert_eq!(read_last_pid(&task).as_deref(), Some("602\n"));

    // Chosen numbers are judged, and not taken.
    let facts = Facts { set_tid: &[602], ..Facts::default() };
    let args = CloneArgs::clone3(F::empty(), 17);
    assert_eq!(refused(prepare_clone_with(&task, &args, facts)), Rule::CloneSetTidTaken);
    let facts = Facts { set_tid: &[700], ..Facts::default() };
    for _ in 0..2 {
        drop(prepare_clone_with(&task, &args, facts).unwrap());
        drop(prepare_clone(&task, &CloneArgs::fork()).unwrap());
    }
    assert!(!all.is_taken(700));
    assert_eq!(read_last_pid(&task).as_deref(), Some("602\n"));

    // The init is waited for when it is the last.
    exit(&thread);
    assert_eq!(exit_with(&init, Status::Exited(3)).len(), 1);
    assert!(wait(&task, WaitFor::Any, WaitKind::All).unwrap().is_none());
    exit(&child);
    let waited = wait(&task, WaitFor::Any, WaitKind::All).unwrap().unwrap();
    assert_eq!(waited.number, 600);
    assert!(!all.is_taken(600) && !inside.is_taken(1) && !inside.is_taken(600));
}

#[test]
fn a_number_that_was_given_again_is_its_new_owner_s() {
    let system = System::new(Config { numbers: Numbers::Given, ..Config::default() });
    let (old, new) = (root(&system), root(&system));
    old.set_number(500);
    new.set_number(500);
    exit(&old);
    drop(old);
    assert!(system.init_pid().is_taken(500));
    exit(&new);
    drop(new);
    assert!(!system.init_pid().is_taken(500));
}

#[test]
fn groups_and_sessions_are_told() {
    let system = System::new(Config { numbers: Numbers::Given, ..Config::default() });
    let (one, two) = (root(&system), root(&system));
    one.set_number(500);
    two.set_number(501);
    one.note_session();
    assert_eq!((getpgid(&one, 0), getsid(&one, 0)), (Ok(500), Ok(500)));
    two.note_group(500);
    assert_eq!(getpgid(&two, 0), Ok(500));
    two.note_group(77);
    assert_eq!(getpgid(&two, 0), Ok(1));
}

#[test]
fn a_birth_may_come_after_its_parent_has_been_reaped() {
    let system = System::new(Config { numbers: Numbers::Given, ..Config::default() });
    let task = root(&system);
    task.set_number(500);
    let args = |flags: F| CloneArgs::legacy(flags.bits() | 17);
    let born =
        |by: &Arc<Task>, flags, number| prepare_clone(by, &args(flags)).unwrap().commit_as(number);
    let init = born(&task, F::NEWPID, 600);
    let (parent, other) = (born(&init, F::empty(), 601), born(&init, F::empty(), 602));
    let late = prepare_clone(&parent, &args(F::empty())).unwrap();
    // The end of the init kills the parent, which nobody has to wait for then.
    drop(exit_with(&init, Status::default()));
    drop(exit_with(&parent, Status::default()));
    // So it is with its child.
    let late = late.commit_as(603);
    drop(exit_with(&late, Status::default()));
    assert!(init.lingers());
    drop(exit_with(&other, Status::default()));
    assert!(!init.lingers());
}
