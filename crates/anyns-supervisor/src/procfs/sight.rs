//! What the caller of a call can see of `/proc`: by which numbers, and whose links.

use std::os::fd::OwnedFd;

use nsproxy::{Arc, PidNs};
use rustix::io::Errno;

use super::{Proc, may_look};
use crate::cx::Cx;
use crate::mounts::Detached;
use crate::numbers::View;
use crate::rights::Need;
use crate::trouble::Trouble;
use crate::vfs::{Program, Sight, Tree};

impl<'a> Cx<'a> {
    /// The pid namespace whose processes `/proc` shows the caller. Every descriptor of `/proc` shows
    /// it the same.
    pub(crate) fn proc_shows(&self) -> Arc<PidNs> {
        let look = || {
            let shown = self.guest().and_then(|guest| self.sup.mounts.proc_of(&guest.task));
            shown.unwrap_or_else(|| self.sup.system.init_pid())
        };
        self.shows.get_or_init(look).clone()
    }

    /// The numbers that `/proc` shows the caller.
    pub(crate) fn proc_view(&self) -> View<'a> {
        self.sup.view_of(self.proc_shows()).having_met(self.guest())
    }

    /// Tells whether paths may lead the caller, or be closed to it, in another way than the kernel
    /// knows, wherever they begin.
    pub(crate) fn looks_from_inside(&self) -> bool {
        self.sup.guests.any_closed()
            || self.guest().is_some() && (self.inside().is_some() || self.is_partial())
    }
}

impl Sight for Cx<'_> {
    fn proc(&self) -> &Proc {
        &self.sup.proc
    }

    fn is_partial(&self) -> bool {
        self.guest().is_some() && !self.proc_view().is_hosts()
    }

    fn number(&self, tid: i32) -> Option<i32> {
        self.proc_view().number_seen(tid)
    }

    fn own_process(&self) -> Option<i32> {
        match self.guest() {
            Some(guest) => Some(guest.tgid),
            None => super::thread_group(self.tid()),
        }
    }

    fn thread(&self, number: i32) -> Option<i32> {
        self.proc_view().find(number).ok()
    }

    fn may_look(&self, tid: i32) -> Result<(), Errno> {
        match may_look(self, tid) {
            Ok(()) => Ok(()),
            Err(Trouble::Errno(errno)) => Err(errno),
            // Whoever cannot be judged is not shown.
            Err(_) => Err(Errno::ACCESS),
        }
    }

    fn subject(&self, tid: i32) -> Option<(Tree, std::sync::Arc<nsproxy::Task>)> {
        let guest = self.sup.find_guest(tid)?;
        Some((self.sup.any_tree_of(&guest.task)?, guest.task.clone()))
    }

    fn process_of(&self, tid: i32) -> i32 {
        self.sup.find_guest(tid).map_or(tid, |guest| guest.tgid)
    }

    fn original(&self, running: OwnedFd) -> Result<OwnedFd, Errno> {
        let stat = rustix::fs::fstat(&running)?;
        match self.sup.programs.original((stat.st_dev, stat.st_ino)) {
            Some(original) => rustix::io::fcntl_dupfd_cloexec(&*original, 0),
            None => Ok(running),
        }
    }

    fn program(&self, tid: i32) -> Option<std::sync::Arc<Program>> {
        self.find_subject(tid)?.program()
    }

    fn tree(&self, opened: &OwnedFd) -> Option<std::sync::Arc<Detached>> {
        self.tree_of(opened)
    }

    fn overrides(&self) -> bool {
        Cx::overrides(self)
    }

    fn may_search(&self, directory: &OwnedFd) -> bool {
        self.lift(directory, Need::SEARCH)
    }

    fn is_landlocked(&self) -> bool {
        self.guest().is_some_and(|guest| guest.is_landlocked())
    }

    fn hosts(&self) -> Option<Tree> {
        self.sup.hosts_tree()
    }
}
