//! Who somebody is to the model: an entry of `guests`, or what the kernel says of a task that has none.

use std::sync::Arc;

use nsproxy::{Cred, Kgid, Kuid};
use rustix::process::Pid;

use crate::Supervisor;
use crate::cx::{Met, native};
use crate::guests::Guest;
use crate::procfs::Native;
use crate::trouble::Trouble;

impl Supervisor {
    /// The entry of thread `tid`, or what is left of it while it is a zombie: whom a call is about,
    /// who need not be alive.
    pub(crate) fn find_subject(&self, tid: i32) -> Option<Arc<Guest>> {
        self.find_guest(tid).or_else(|| self.guests.zombie(tid))
    }

    /// The living entry of thread `tid`.
    pub(crate) fn find_guest(&self, tid: i32) -> Option<Arc<Guest>> {
        if let Some(known) = self.guests.get(tid) {
            return Some(known);
        }
        if self.guests.len() == 0 {
            return None;
        }
        let doubtful = self.guests.any_traced() || self.guests.any_quiet();
        let recognised = if doubtful { self.recognise(tid) } else { None };
        // Another thread's call may have entered it between the two looks.
        recognised.or_else(|| self.guests.get(tid))
    }

    /// Enters an unknown task if it is a thread of a process we know, or the child of a guest that
    /// could not be followed.
    fn recognise(&self, tid: i32) -> Option<Arc<Guest>> {
        if let Some(known) = self.guests.enter_likely(tid) {
            return Some(known);
        }
        let native = Native::read(tid).ok()?;
        self.guests
            .enter_thread(tid, native.tgid)
            .or_else(|| self.guests.enter_child(tid, native.tgid, native.ppid))
    }

    /// A task as the model knows it, introduced to it if need be.
    pub(crate) fn meet(&self, tid: i32, guest: Option<Arc<Guest>>) -> Result<Met<'_>, Trouble> {
        match guest {
            Some(guest) => {
                self.refresh(&guest)?;
                Ok(Met::known(self, guest))
            }
            None => {
                self.mounts.tell(&self.system);
                let native = native(tid)?;
                let tgid = native.tgid;
                let peer = self.guests.group(tgid).into_iter().next();
                let cred = self.native_cred(&native);
                let task = self.system.adopt(peer.as_ref().map(|peer| &peer.task), cred);
                task.set_tag(tid as u64);
                task.set_leader(tid == tgid);
                task.set_chrooted(chrooted(tid));
                if native.exited {
                    // Its credentials are all that is left of it.
                    nsproxy::exit(&task);
                }
                Ok(Met::introduced(self, tid, tgid, task))
            }
        }
    }

    /// An unknown task that has no capability, for rules that ask for one. None if it has any.
    pub(crate) fn meet_without_capabilities(&self, tid: i32) -> Option<Met<'_>> {
        let sets = rustix::thread::capabilities(Pid::from_raw(tid)).ok()?;
        if !sets.effective.is_empty() {
            return None;
        }
        let cred = Cred::user(&self.system.init_user(), Kuid(u32::MAX), Kgid(u32::MAX));
        let task = self.system.adopt(None, cred);
        task.set_tag(tid as u64);
        Some(Met::vague(self, tid, task))
    }

    /// The credentials of a task, wherever they are kept.
    pub(crate) fn cred_of(&self, tid: i32, guest: Option<&Guest>) -> Result<Arc<Cred>, Trouble> {
        match guest {
            Some(guest) => {
                self.refresh(guest)?;
                Ok(guest.task.cred())
            }
            None => Ok(Arc::new(self.native_cred(&native(tid)?))),
        }
    }

    /// Brings the credentials up to date: a program may have started, and in the initial user
    /// namespace the kernel's are the truth.
    fn refresh(&self, guest: &Guest) -> Result<(), Trouble> {
        self.settle_exec(guest, false);
        if guest.task.cred().user.is_initial() {
            let mut cred = native(guest.tid)?.cred(self.system.init_user());
            cred.no_new_privs = guest.task.with_cred(|cred| cred.no_new_privs);
            guest.task.set_cred(cred);
        }
        Ok(())
    }

    /// The credentials of a task that was never known, so that it has set nothing itself.
    pub(crate) fn native_cred(&self, native: &Native) -> Cred {
        let no_new_privs = self.no_new_privs;
        Cred { no_new_privs, ..native.cred(self.system.init_user()) }
    }
}

/// Tells whether a task's root directory is not the one we know, because it called chroot(2).
fn chrooted(tid: i32) -> bool {
    let (theirs, ours) = (rustix::fs::stat(format!("/proc/{tid}/root")), rustix::fs::stat("/"));
    match (theirs, ours) {
        (Ok(theirs), Ok(ours)) => (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino),
        _ => false,
    }
}
