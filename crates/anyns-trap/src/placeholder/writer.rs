//! Finding the thread that waits in a write to a full pipe, and answering its write.
//!
//! The kernel says which pipe, not who. A thread that waits shows its call and arguments in
//! `/proc/TID/syscall`, and the argument's file in `/proc/TID/fd`.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use super::{Inode, Judge, SEGMENT_MAX, Segment, Write, WriteKind, pipe};
use crate::Tid;
use crate::memory::Memory;
use crate::notify::Port;
use crate::trace::{Asleep, Doing, doing, stop_asleep};

/// A thread seen waiting in a call that writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer {
    tid: Tid,
    nr: i64,
    args: [u64; 6],
}

/// What a look at one thread showed.
pub(super) enum Look {
    Writes(Writer),
    /// It is not asleep (yet).
    Runs,
    No,
}

/// Which argument of a call names the descriptor written to.
fn target(nr: i64, args: &[u64; 6]) -> Option<i32> {
    let at = match nr {
        libc::SYS_write | libc::SYS_writev | libc::SYS_pwritev2 => 0,
        libc::SYS_sendfile | libc::SYS_vmsplice => 0,
        libc::SYS_tee => 1,
        libc::SYS_splice => 2,
        _ => return None,
    };
    Some(args[at] as i32)
}

/// Looks whether `tid` waits in a write to this pipe.
pub(super) fn look(tid: Tid, inode: Inode) -> Look {
    let (nr, args) = match doing(tid) {
        Doing::Waits(nr, args) => (nr, args),
        Doing::Runs => return Look::Runs,
        Doing::Other => return Look::No,
    };
    let writer = Writer { tid, nr, args };
    if writer.writes_to(inode) { Look::Writes(writer) } else { Look::No }
}

/// What became of a write.
pub(super) enum Outcome {
    /// The writer has its answer: so many bytes were accepted. It was stopped for that, or its write
    /// let through.
    Answered { accepted: usize, stopped: bool },
    /// It was no longer waiting; nothing was judged.
    Elsewhere,
    /// It cannot be stopped, its write was refused, and the only way to tell is closing our end.
    Close,
}

impl Writer {
    pub(super) fn tid(&self) -> Tid {
        self.tid
    }

    fn writes_to(&self, inode: Inode) -> bool {
        target(self.nr, &self.args).is_some_and(|fd| {
            let its = fs::metadata(format!("/proc/{}/fd/{fd}", self.tid));
            its.is_ok_and(|its| Inode { dev: its.dev(), ino: its.ino() } == inode)
        })
    }

    /// What it writes; `None` when that needs no judge: EINVAL.
    fn segments(&self, memory: &Memory<'_>) -> Option<(WriteKind, Vec<Segment>)> {
        let kind = match self.nr {
            libc::SYS_write => WriteKind::Write,
            libc::SYS_writev | libc::SYS_pwritev2 => WriteKind::Vector,
            _ => return None,
        };
        let pieces = match kind {
            WriteKind::Write => vec![[self.args[1], self.args[2]]],
            WriteKind::Vector => {
                let count = self.args[2].min(1024) as usize;
                memory.read_values::<[u64; 2]>(self.args[1], count).unwrap_or_default()
            }
        };
        let read = |[addr, len]: [u64; 2]| {
            let mut text = vec![0; len.min(SEGMENT_MAX as u64) as usize];
            let text = memory.read(addr, &mut text).is_ok().then_some(text);
            Segment { len, text }
        };
        Some((kind, pieces.into_iter().filter(|[_, len]| *len > 0).map(read).collect()))
    }

    fn judged(
        &self,
        judge: &dyn Judge,
        token: u64,
        offset: u64,
        memory: &Memory<'_>,
    ) -> Result<usize, i32> {
        match self.segments(memory) {
            None => Err(libc::EINVAL),
            Some((_, segments)) if segments.is_empty() => Err(libc::EFAULT),
            Some((kind, segments)) => {
                judge.write(token, &Write { writer: self.tid, kind, offset, segments })
            }
        }
    }

    /// Stops the writer, has its write judged and gives it the answer.
    pub(super) fn answer(
        &self,
        port: &Arc<Port>,
        judge: &dyn Judge,
        token: u64,
        inode: Inode,
        offset: u64,
        read_end: BorrowedFd<'_>,
    ) -> Outcome {
        let judged = |memory: &Memory<'_>| self.judged(judge, token, offset, memory);
        match stop_asleep(port, self.tid, self.nr, self.args) {
            Asleep::Stopped(stopped) => {
                if !self.writes_to(inode) {
                    // Its descriptor was exchanged meanwhile; it will write to the new file.
                    stopped.again();
                    return Outcome::Elsewhere;
                }
                let result = judged(&stopped.mem());
                stopped.answer(result.map_or_else(|e| -i64::from(e), |n| n as i64));
                Outcome::Answered { accepted: result.unwrap_or(0), stopped: true }
            }
            Asleep::Elsewhere => Outcome::Elsewhere,
            Asleep::Untraceable => match judged(&Memory::of_stopped(self.tid)) {
                Ok(accepted) if pipe::let_through(read_end, accepted).is_ok() => {
                    Outcome::Answered { accepted, stopped: false }
                }
                _ => Outcome::Close,
            },
        }
    }
}

/// All threads below this process.
pub(super) fn descendants() -> Vec<Tid> {
    fn children(tasks: io::Result<fs::ReadDir>, into: &mut Vec<i32>, threads: &mut Vec<Tid>) {
        for task in tasks.into_iter().flatten().flatten() {
            if let Some(tid) = task.file_name().to_str().and_then(|name| name.parse().ok()) {
                threads.push(Tid(tid));
            }
            let line = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            into.extend(line.split_whitespace().filter_map(|n| n.parse::<i32>().ok()));
        }
    }
    let (mut found, mut open) = (Vec::new(), Vec::new());
    children(fs::read_dir("/proc/self/task"), &mut open, &mut Vec::new());
    while let Some(pid) = open.pop() {
        children(fs::read_dir(format!("/proc/{pid}/task")), &mut open, &mut found);
    }
    found
}
