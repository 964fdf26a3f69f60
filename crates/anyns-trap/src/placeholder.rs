//! Files whose every write is judged, and descriptors with an identity and a close notice.
//!
//! `write` is too frequent to be told. So a control file is the write end of a *full one-page
//! pipe* whose read end is ours: the write waits before it copies anything, and the kernel tells
//! the read end's owner of a writer about to sleep. The writer is found and stopped once, its
//! text read and judged, and its call ended with the result.
//!
//! Only guests hold the write end, so a hang-up on ours means that the last copy anywhere is
//! gone: dup, fork, exec and SCM_RIGHTS need no bookkeeping. An identity (a namespace descriptor,
//! say) is the read end of an empty pipe, watched the other way round.
//!
//! What still differs from a file in `/proc`: `fstat` says FIFO (answer it), `lseek` says ESPIPE,
//! F_GETFL shows O_DIRECT, a write of no bytes says 0, and a signal whose handler has no
//! SA_RESTART may interrupt the write before the stop.
//!
//! Not here: what is written where, and who may.

mod pipe;
mod selftest;
#[cfg(test)]
mod tests;
mod watch;
mod writer;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::Tid;
pub use selftest::self_test;
use watch::Watch;

/// By which call a write came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// `write`: one segment.
    Write,
    /// `writev`, or `pwritev2` at the file's own position: one or more segments.
    Vector,
}

/// One piece of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// How many bytes the writer asked to write.
    pub len: u64,
    /// The bytes, at most [`SEGMENT_MAX`] of them; none when the memory was unreadable.
    pub text: Option<Vec<u8>>,
}

/// Which object a descriptor is of: the number of its inode alone may also be that of a file elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inode {
    /// `st_dev`.
    pub dev: u64,
    /// `st_ino`.
    pub ino: u64,
}

impl Inode {
    /// The one with these attributes.
    pub fn of(stat: &rustix::fs::Stat) -> Inode {
        Inode { dev: stat.st_dev, ino: stat.st_ino }
    }
}

/// No segment's text is read beyond this many bytes.
pub const SEGMENT_MAX: usize = 64 << 10;

/// A write that waits for its judgement.
#[derive(Clone, Debug)]
pub struct Write {
    /// The writing thread, stopped.
    pub writer: Tid,
    /// The call.
    pub kind: WriteKind,
    /// The file position: the number of bytes accepted so far through all copies of the
    /// descriptor.
    pub offset: u64,
    /// What is written, in order; at least one segment, none of length 0.
    pub segments: Vec<Segment>,
}

impl Write {
    /// Judges as a procfs file does: one write for each segment, up to the first error; what was
    /// accepted before it counts. `judge` gets the position and one segment.
    pub fn each(
        &self,
        mut judge: impl FnMut(u64, &Segment) -> Result<usize, i32>,
    ) -> Result<usize, i32> {
        let mut done = 0usize;
        for segment in &self.segments {
            match judge(self.offset + done as u64, segment) {
                Ok(n) => {
                    done += n;
                    if (n as u64) < segment.len {
                        break;
                    }
                }
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}

/// What the embedder thinks of writes and closes. Called on the watching thread, one at a time.
pub trait Judge: Send + Sync + 'static {
    /// A write to the file made with `token`: the number of bytes taken, or a (positive) error
    /// number. Must apply what it accepts: the writer is told at once.
    fn write(&self, token: u64, write: &Write) -> Result<usize, i32>;

    /// The last copy of the descriptor made with `token` has been closed, anywhere.
    fn closed(&self, token: u64);

    /// Threads that might be writing, besides the opener and the last writer. By default all
    /// threads below this process, which takes a walk through `/proc`.
    fn writers(&self) -> Vec<Tid> {
        writer::descendants()
    }

    /// A wait took the exit of `tid` (see [`crate::Serve::reaped`]).
    fn reaped(&self, tid: Tid, status: i32) {
        let _ = (tid, status);
    }
}

/// The thread that watches control files and identities. Dropping it ends the thread; descriptors
/// that guests still have then say EPIPE to writers.
pub struct Placeholders {
    watch: Arc<Watch>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Placeholders {
    /// Starts the watching thread.
    pub fn start(judge: Arc<dyn Judge>) -> io::Result<Placeholders> {
        let polled = self_test()? == SelfTest::Polled;
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = crate::spawn("anyns-files", move || {
            let watch = Watch::new(judge, polled).map(Arc::new);
            let running = watch.as_ref().ok().map(Arc::clone);
            if ready.send(watch).is_ok()
                && let Some(watch) = running
            {
                watch.run(|| end.load(Ordering::Relaxed));
            }
        })?;
        let watch = is_ready.recv().map_err(|_| io::ErrorKind::Other)??;
        Ok(Placeholders { watch, ended, thread: Some(thread) })
    }

    /// Makes a file that is judged on each write; gives the guest's end (write-only,
    /// close-on-exec here; give it to [`crate::Call::install_fd`]) and its inode, by which every copy
    /// can be recognised. `opener` is asked first who is writing.
    ///
    /// The guest must not get O_NONBLOCK onto it (fcntl F_SETFL, ioctl FIONBIO): its writes would
    /// say EAGAIN.
    pub fn create(&self, token: u64, opener: Tid) -> io::Result<(OwnedFd, Inode)> {
        self.watch.file(token, opener)
    }

    /// Makes a read-only descriptor without contents that is recognised by its inode and
    /// tells when its last copy is closed. Reading it says EAGAIN, writing EBADF.
    pub fn create_token(&self, token: u64) -> io::Result<(OwnedFd, Inode)> {
        self.watch.identity(token)
    }

    /// Tells the judge of every token whose last copy is closed by now, before it returns. Without
    /// this it is told soon.
    pub fn settle(&self) {
        self.watch.settle();
    }
}

impl Drop for Placeholders {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.watch.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whether this kernel tells of writers that are about to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfTest {
    /// It does: writes are answered at once.
    Signalled,
    /// It does not: writes are looked for every millisecond while a file is open.
    Polled,
}
