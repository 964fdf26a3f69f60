//! What filters from outside say to the calls of a table, and whether a listener can be had.
//!
//! An outer filter's errno outranks a notification, so the question for each call is not whether it
//! is refused but whether we would hear of it. One child, thrown away afterwards, installs a filter
//! with a listener, closes the listener and makes every call: what is not ENOSYS then was said by
//! somebody else. Nothing is executed, so each call can be made with any arguments, and the kernel's
//! own EPERM cannot be taken for a filter's.
//!
//! An outer ENOSYS cannot be told apart in this way. It is asked for before the filter is installed,
//! in a form that the kernel refuses, but only for calls that programs cannot do without; what else
//! answers ENOSYS looks to programs like a call that the kernel does not have. Of those clone3 is asked
//! for, too: it need not be stopped then, and every start of a program or thread tries it first.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};

use super::host::Status;
use super::notify::{self, Notify};
use super::{Obstacle, trace};
use crate::filter::{Row, Test};
use crate::plan::Denied;
use crate::raw::{self, Birth};
use crate::sys::{self, Muted};

/// What was found.
#[derive(Clone, Debug)]
pub struct Outer {
    /// Whether a filter with a listener can be installed.
    pub notify: Notify,
    /// The calls that are answered before we hear of them. Empty if no listener can be had: then
    /// nobody knows.
    pub denied: Vec<Denied>,
    /// Whether clone3(2) is as in a kernel without it. Not among the denied: programs use clone then.
    pub no_clone3: bool,
    /// What ptrace(2) gives by an outer filter, whoever is to be traced.
    pub ptrace: Result<(), Errno>,
    /// Whether an own child can be seized.
    pub seize: Result<(), Errno>,
    /// Whether its memory can be read.
    pub memory: Result<(), Errno>,
    /// Whether it could not be seized because somebody else traces it.
    pub traced: bool,
}

/// Calls whose flags an outer filter may look at: the number, the argument, the flags that name
/// types of namespaces.
const FLAGS: [(i64, u8, u32); 3] = {
    const NEW: u32 = 0x7e02_0080;
    // In clone the lowest byte is the signal for the parent.
    [(libc::SYS_clone, 0, NEW & !0xff), (libc::SYS_unshare, 0, NEW), (libc::SYS_setns, 1, NEW)]
};

/// What is said of a call that kills.
const KILLS: u16 = 0;

fn asks(rows: &[Row]) -> Vec<Muted> {
    let rows = rows.iter().filter(|row| sys::can_be_muted(row.nr));
    let mut asks: Vec<Muted> = rows.map(|row| Muted::new(row.nr, row.test.clone())).collect();
    for (nr, arg, mask) in FLAGS {
        if asks.iter().any(|ask| ask.nr() == nr) {
            asks.push(Muted::new(nr, Test::AnyBits { arg, mask }));
        }
    }
    // Not of the table: whether we may trace at all.
    asks.push(Muted::new(libc::SYS_ptrace, Test::Always));
    asks
}

/// Asks about every row. The caller has one thread.
///
/// # Errors
/// [`Obstacle::NoProcess`] when no process can be started. [`Obstacle::TracedAlready`] when somebody
/// traces the caller behind a filter: such a tracer could serve the calls that are only asked about.
pub fn ask(rows: &[Row]) -> Result<Outer, Obstacle> {
    if Status::read().is_some_and(|status| status.traced && status.seccomp_mode != Some(0)) {
        return Err(Obstacle::TracedAlready);
    }
    let asks = asks(rows);
    let found = match child(&asks) {
        Ok(Some(said)) => {
            let answers = asks.iter().zip(said.answers.iter().copied());
            Ok(outer(&said, answers, &said.missing))
        }
        Ok(None) => one_by_one(&asks),
        Err(errno) => Err(errno),
    };
    found.map_err(Obstacle::NoProcess)
}

/// Asks where some call kills, with a child for each question.
fn one_by_one(asks: &[Muted]) -> Result<Outer, Errno> {
    let Some(base) = child(&[])? else {
        let tried =
            trace::Tried { seize: Err(Errno::PERM), memory: Err(Errno::PERM), traced: false };
        let notify = Notify::Refused(Errno::PERM);
        let nothing = Said { notify, answers: Vec::new(), missing: Vec::new(), tried };
        return Ok(outer(&nothing, std::iter::empty(), &[]));
    };
    let (mut answers, mut missing) = (Vec::new(), Vec::new());
    for ask in asks {
        match child(std::slice::from_ref(ask))? {
            Some(said) => {
                answers.extend(said.answers);
                missing.extend(said.missing);
            }
            None => answers.push(KILLS),
        }
    }
    Ok(outer(&base, asks.iter().zip(answers), &missing))
}

fn outer<'a>(
    said: &Said,
    answers: impl Iterator<Item = (&'a Muted, u16)>,
    missing: &[i64],
) -> Outer {
    let mut denied: Vec<Denied> = answers
        .filter(|(_, errno)| i32::from(*errno) != libc::ENOSYS)
        .map(|(ask, errno)| Denied { nr: ask.nr(), test: ask.test().clone(), errno })
        .collect();
    let no_clone3 = missing.contains(&libc::SYS_clone3);
    for &nr in missing.iter().filter(|&&nr| nr != libc::SYS_clone3) {
        if !denied.iter().any(|one| one.nr == nr) {
            denied.push(Denied { nr, test: Test::Always, errno: libc::ENOSYS as u16 });
        }
    }
    let whole: Vec<i64> =
        denied.iter().filter(|one| one.test == Test::Always).map(|one| one.nr).collect();
    denied.retain(|one| one.test == Test::Always || !whole.contains(&one.nr));
    let refused = denied.iter().position(|one| one.nr == libc::SYS_ptrace);
    let ptrace = match refused.map(|at| denied.remove(at).errno) {
        Some(errno) => Err(Errno::from_raw_os_error(errno.into())),
        None => Ok(()),
    };
    let trace::Tried { seize, memory, traced } = said.tried;
    Outer { notify: said.notify, denied, no_clone3, ptrace, seize, memory, traced }
}

/// What one child found.
struct Said {
    notify: Notify,
    /// Error numbers in the order of the questions; empty if the child could not ask.
    answers: Vec<u16>,
    missing: Vec<i64>,
    tried: trace::Tried,
}

/// Has a child make these calls. None: one of them killed it.
fn child(asks: &[Muted]) -> Result<Option<Said>, Errno> {
    let (answers, told) = pipe_with(PipeFlags::CLOEXEC)?;
    let (held, release) = pipe_with(PipeFlags::CLOEXEC)?;
    match raw::fork()? {
        Birth::Child => {
            drop((answers, release));
            tell(asks, &told);
            // Until the parent has tried to trace us.
            let _ = read(&held, &mut [0; 1]);
            raw::exit_now(0)
        }
        Birth::Parent { child, .. } => {
            drop((told, held));
            let mut bytes = [0; PIPE_BUF];
            let got = match wait_for(&answers) {
                true => read(&answers, &mut bytes).unwrap_or(0),
                false => 0,
            };
            let tried = trace::try_on(child);
            let _ = raw::kill(child, libc::SIGKILL);
            let _ = raw::wait(child);
            drop(release);
            Ok(understand(&bytes[..got], tried))
        }
    }
}

/// How long a child may be silent: it has nothing to wait for.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Waits until something, or the end, can be read; says whether it came in time.
fn wait_for(pipe: &OwnedFd) -> bool {
    loop {
        match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&PATIENCE)) {
            Err(Errno::INTR) => {}
            ready => return ready.is_ok_and(|count| count > 0),
        }
    }
}

/// What a pipe takes in one piece.
const PIPE_BUF: usize = 4096;

/// The child's part: words of two bytes, written at once.
///
/// First how the installation went (two words), then how many calls are missing, these, and the
/// answers.
fn tell(asks: &[Muted], to: &OwnedFd) {
    let asked = |nr| asks.iter().any(|ask| ask.nr() == nr);
    let missing: Vec<u16> = sys::missing_calls(asked).map(|nr| nr as u16).collect();
    let (installed, answers) = match sys::make_muted(asks) {
        Ok(answers) => (notify::encode(None), answers),
        Err(error) => (notify::encode(Some(error)), Vec::new()),
    };
    let mut words = installed.to_vec();
    words.push(missing.len() as u16);
    words.extend(missing);
    words.extend(answers.into_iter().map(|errno| errno.raw_os_error() as u16));
    let bytes: Vec<u8> = words.into_iter().flat_map(u16::to_ne_bytes).collect();
    assert!(bytes.len() <= PIPE_BUF, "more questions than a pipe takes");
    let _ = write(to, &bytes);
}

fn understand(bytes: &[u8], tried: trace::Tried) -> Option<Said> {
    let words: Vec<u16> =
        bytes.chunks_exact(2).map(|two| u16::from_ne_bytes([two[0], two[1]])).collect();
    let [first, second, count, rest @ ..] = &words[..] else { return None };
    let (missing, answers) = rest.split_at_checked(usize::from(*count))?;
    Some(Said {
        notify: notify::decode([*first, *second]),
        answers: answers.to_vec(),
        missing: missing.iter().map(|&nr| i64::from(nr)).collect(),
        tried,
    })
}
