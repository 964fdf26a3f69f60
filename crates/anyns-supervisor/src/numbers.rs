//! Who is called by which number: the host's numbers, with three exceptions.
//!
//! Inside a pid namespace of ours a task is called by its number on the host. But the first thread
//! of the namespace's init is called 1 (its number on the host, which leaks through futexes, signal
//! frames and `SO_PEERCRED`, means it as well), and whoever is outside is called nothing: 0 where a
//! number is shown, ESRCH where one is given (docs/decisions/0006).
//!
//! A [`View`] is one such reading of the numbers: that of a caller, or that of a namespace (a proc
//! file system shows the numbers of its mounter's). Everybody who takes or shows a number asks it.
//!
//! The truth about who is in which namespace is the model's. Who is whose child is the host's, and
//! so is who still exists.

use std::sync::Arc;

use nsproxy::{PidNs, Task};
use rustix::io::Errno;

use crate::Supervisor;
use crate::guests::Guest;
use crate::procfs::Native;

/// A number that no task ever has (pid_max is lower): for a call that the kernel is to refuse in its
/// own order.
pub(crate) const NOBODY: i32 = i32::MAX;

/// Numbers as they are read in one pid namespace.
#[derive(Clone)]
pub(crate) struct View<'a> {
    sup: &'a Supervisor,
    /// `None`: the host's, where everybody has the number that the kernel knows.
    ns: Option<Arc<PidNs>>,
    /// Somebody who has been looked at already, for as long as this is used.
    met: Option<Arc<Guest>>,
}

impl Supervisor {
    /// The numbers as a caller reads them.
    pub(crate) fn view(&self, of: Option<&Guest>) -> View<'_> {
        View { sup: self, ns: of.and_then(|guest| below_initial(guest.task.pid_ns())), met: None }
    }

    /// The numbers of a pid namespace, as a proc file system that was mounted there shows them.
    pub(crate) fn view_of(&self, ns: Arc<PidNs>) -> View<'_> {
        View { sup: self, ns: below_initial(Some(ns)), met: None }
    }
}

fn below_initial(ns: Option<Arc<PidNs>>) -> Option<Arc<PidNs>> {
    ns.filter(|ns| !ns.is_initial())
}

impl<'a> View<'a> {
    /// The same for a moment after somebody has been looked at: the caller of a call, or whom it is about.
    pub(crate) fn having_met(self, somebody: Option<&Arc<Guest>>) -> View<'a> {
        View { met: somebody.cloned(), ..self }
    }

    fn find_subject(&self, tid: i32) -> Option<Arc<Guest>> {
        match &self.met {
            _ if tid <= 0 => None,
            Some(guest) if guest.tid == tid => Some(guest.clone()),
            _ => self.sup.find_subject(tid),
        }
    }

    /// Tells whether it is the host's: every number is then as the kernel shows it, and nobody is
    /// outside.
    pub(crate) fn is_hosts(&self) -> bool {
        self.ns.is_none()
    }

    /// The number by which thread `tid` of the host is known, dead or alive: 1 for the first thread
    /// of the namespace's init. `None` for whoever is outside.
    pub(crate) fn number_seen(&self, tid: i32) -> Option<i32> {
        let Some(ns) = &self.ns else { return Some(tid) };
        let guest = self.find_subject(tid)?;
        within(&guest.task, ns).then(|| if is_first(&guest, ns) { 1 } else { tid })
    }

    /// The thread of the host that is called `number`: a thread, or a process by its first thread;
    /// dead, as long as nobody has waited for it.
    ///
    /// # Errors
    /// ESRCH if nobody is that can be seen from here.
    pub(crate) fn find(&self, number: i32) -> Result<i32, Errno> {
        let Some(ns) = &self.ns else { return Ok(number) };
        if number == 1 {
            return self.init().ok_or(Errno::SRCH);
        }
        match self.find_subject(number) {
            Some(guest) if within(&guest.task, ns) => Ok(number),
            _ => Err(Errno::SRCH),
        }
    }

    /// The number by which the model is to be asked for the thread called `number`: the same, and the
    /// model knows the thread (threads of a process that are all alike need not be known before);
    /// [`NOBODY`] if the model still knows one that is there no longer.
    pub(crate) fn in_model(&self, number: i32) -> i32 {
        let Some(ns) = self.ns.as_ref().filter(|_| number > 0) else { return number };
        let found =
            self.find(number).ok().filter(|tid| number > 1 || self.find_subject(*tid).is_some());
        match found {
            None if ns.find(number as u32).is_some() => NOBODY,
            _ => number,
        }
    }

    /// The host's number of the namespace's init, while that exists. `None` in the host's view.
    pub(crate) fn init(&self) -> Option<i32> {
        let tag = self.ns.as_ref()?.find(1)?.tag();
        i32::try_from(tag).ok().filter(|tid| *tid > 0)
    }

    /// The host's numbers of all processes that can be seen, zombies included: what a listing of
    /// `/proc` shows. Not for the host's view, where `/proc` says it itself.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let Some(ns) = &self.ns else { return Vec::new() };
        self.sup.guests.processes(|task| within(task, ns))
    }

    /// What getppid(2) by thread `tid` of the host would show here: 0 for a parent outside.
    pub(crate) fn parent_seen(&self, tid: i32) -> i32 {
        let Ok(native) = Native::read(tid) else { return 0 };
        let Some(ns) = &self.ns else { return native.ppid };
        if let Some(number) = self.number_seen(native.ppid) {
            return number;
        }
        // The orphan of somebody who was put into the namespace from outside: the host gives it to
        // the reaper of that one's side, Linux to the init.
        let orphan = self
            .sup
            .find_subject(tid)
            .is_some_and(|guest| !guest.came_from_outside(ns) && !is_init_of(&guest.task, ns));
        i32::from(orphan)
    }

    /// The number of the process group of a task, 0 for one that is led from outside.
    pub(crate) fn group_seen(&self, task: &Task) -> i32 {
        self.ns.as_ref().and_then(|ns| task.group_number_in(ns)).map_or(0, |number| number as i32)
    }

    /// The number by which the group or session `number` of the host is known, 0 for one that is
    /// led from outside. It may have outlived its leader.
    pub(crate) fn led_seen(&self, number: i32) -> i32 {
        let Some(ns) = &self.ns else { return number };
        match self.init() {
            Some(init) if init == number => 1,
            _ => match ns.is_taken(number as u32) {
                true => number,
                false => 0,
            },
        }
    }

    /// The group or session of the host that is called `number`.
    ///
    /// # Errors
    /// ESRCH if none is that can be seen from here.
    pub(crate) fn find_led(&self, number: i32) -> Result<i32, Errno> {
        let Some(ns) = &self.ns else { return Ok(number) };
        match number {
            1 => self.init().ok_or(Errno::SRCH),
            _ if ns.is_taken(number as u32) => Ok(number),
            _ => Err(Errno::SRCH),
        }
    }
}

/// What a signal tells a member of `ns` of who sent it: that process's number, 0 for somebody outside.
pub(crate) fn sender_seen(sender: Option<&Guest>, ns: &PidNs) -> i32 {
    match sender {
        Some(sender) if within(&sender.task, ns) => {
            if is_init_of(&sender.task, ns) {
                1
            } else {
                sender.tgid
            }
        }
        _ => 0,
    }
}

/// Tells whether a task can be seen from a pid namespace.
fn within(task: &Task, ns: &PidNs) -> bool {
    task.pid_ns().is_some_and(|own| own.is_within(ns))
}

/// Tells whether a task is a thread of a pid namespace's init.
pub(crate) fn is_init_of(task: &Task, ns: &PidNs) -> bool {
    task.pid_ns().is_some_and(|own| *own == *ns) && task.is_init()
}

/// Tells whether a guest is the one called 1: a thread of the init that leads it.
fn is_first(guest: &Guest, ns: &PidNs) -> bool {
    guest.tid == guest.tgid && is_init_of(&guest.task, ns)
}
