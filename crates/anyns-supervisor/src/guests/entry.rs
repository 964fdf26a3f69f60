//! What is kept of one task that the model knows.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use nsproxy::{PidNs, Task};
use parking_lot::Mutex;

use super::Group;
use super::deaths::is_dead;
use crate::vfs::Program;

/// One task that the model knows.
#[derive(Debug)]
pub(crate) struct Guest {
    /// Its number on the host.
    pub(crate) tid: i32,
    /// Its thread group's number on the host.
    pub(crate) tgid: i32,
    /// What the model says of it.
    pub(crate) task: Arc<Task>,
    /// Another guest traces it, so its forks cannot be followed: children are recognised later.
    pub(crate) traced: AtomicBool,
    pub(super) group: Arc<Group>,
    pub(super) pidfd: OwnedFd,
    /// It may have started a program since; then it is marked otherwise than this.
    exec: Mutex<Option<[u8; 16]>>,
    expects_exec: AtomicBool,
    /// It is starting a program and will come out of that with its leader's number; its own, and the
    /// pidfd with it, dies a little earlier than we hear of it.
    pub(super) moves: AtomicBool,
    /// It is dead, and its number free; told by whoever has waited for it.
    pub(super) gone: AtomicBool,
    /// It was not dumpable when it died, which its zombie still is not.
    pub(super) hid: AtomicBool,
    /// The pid namespace of whoever made it, if that is not its own.
    pub(super) put_in_from: OnceLock<Arc<PidNs>>,
}

impl Guest {
    /// One that has just been born, or met.
    pub(super) fn new(
        tid: i32,
        tgid: i32,
        task: Arc<Task>,
        group: Arc<Group>,
        pidfd: OwnedFd,
    ) -> Guest {
        Guest {
            tid,
            tgid,
            task,
            traced: AtomicBool::new(false),
            group,
            pidfd,
            exec: Mutex::new(None),
            expects_exec: AtomicBool::new(false),
            moves: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            hid: AtomicBool::new(false),
            put_in_from: OnceLock::new(),
        }
    }

    /// Tells whether the task this entry was made for still lives.
    pub(crate) fn lives(&self) -> bool {
        !is_dead(&self.pidfd)
    }

    /// Tells whether others may look into it, or could when it died.
    pub(crate) fn dumpable(&self) -> bool {
        self.task.dumpable() && !self.hid.load(Ordering::Relaxed)
    }

    /// Tells whether it was put into a pid namespace, or a part of one, by somebody outside.
    pub(crate) fn came_from_outside(&self, ns: &PidNs) -> bool {
        self.put_in_from.get().is_some_and(|maker| !maker.is_within(ns))
    }

    /// Notes who made it.
    pub(crate) fn note_maker(&self, maker: &Task) {
        if let (Some(own), Some(theirs)) = (self.task.pid_ns(), maker.pid_ns())
            && own != theirs
        {
            let _ = self.put_in_from.set(theirs);
        }
    }

    /// What its process runs, if that was found among other mounts than the host's.
    pub(crate) fn program(&self) -> Option<Arc<Program>> {
        self.group.program()
    }

    /// Notes that it has restricted itself by Landlock, which its children inherit.
    pub(crate) fn note_landlocked(&self) {
        self.group.note_landlocked();
    }

    /// Whether it has, or one that it comes from.
    pub(crate) fn is_landlocked(&self) -> bool {
        self.group.is_landlocked()
    }

    /// Notes what a new process has from the one that made it.
    pub(crate) fn inherit(&self, parent: &Guest) {
        self.runs(parent.program());
        if parent.is_landlocked() {
            self.note_landlocked();
        }
    }

    /// Notes what its process runs from now on.
    pub(crate) fn runs(&self, program: Option<Arc<Program>>) {
        self.group.runs(program);
    }

    /// Its process or thread, for signals.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Notes that whoever made `sibling` made it, too.
    pub(crate) fn note_sibling(&self, sibling: &Guest) {
        if let Some(maker) = sibling.put_in_from.get() {
            let _ = self.put_in_from.set(maker.clone());
        }
    }

    /// Tells whether it is in a pid namespace of ours, where numbers are not the host's.
    pub(crate) fn is_numbered(&self) -> bool {
        self.task.pid_ns().is_some_and(|ns| !ns.is_initial())
    }

    /// Tells whether it leads its process and no other thread of it is, or need be, known.
    pub(crate) fn is_alone(&self) -> bool {
        self.tid == self.tgid && !self.group.is_quiet() && self.group.members() == [self.tid]
    }

    /// Notes that it is about to start a program, in place of the one marked so.
    pub(crate) fn expect_exec(&self, mark: [u8; 16]) {
        let mut exec = self.exec.lock();
        *exec = Some(mark);
        self.expects_exec.store(true, Ordering::Release);
    }

    /// Tells whether that is still open.
    pub(crate) fn expects_exec(&self) -> bool {
        self.expects_exec.load(Ordering::Acquire)
    }

    /// Settles whether it has started the program it was about to start: `follow` is told the mark
    /// of the old one, and tells whether the question is answered. Whoever else asks meanwhile
    /// waits, so that nobody sees the old credentials of a new program.
    pub(crate) fn settle_exec(&self, follow: impl FnOnce([u8; 16]) -> bool) {
        if !self.expects_exec.load(Ordering::Acquire) {
            return;
        }
        let mut exec = self.exec.lock();
        if let Some(before) = *exec
            && follow(before)
        {
            *exec = None;
            self.expects_exec.store(false, Ordering::Release);
        }
    }
}
