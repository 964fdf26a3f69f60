//! What an onlooker can be told: namespaces made and freed, switches, refusals.

use crate::{CloneFlags, Kind, Link, Refusal, task::TaskId};
use core::fmt;

/// The ways into `switch_task_namespaces()`, and so the ways a task's namespaces change.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Way {
    /// unshare(2).
    Unshare,
    /// setns(2).
    Setns,
    /// Another task switched its whole process, which the kernel cannot do.
    Switch,
    /// execve(2): to the time namespace that waited for the task.
    Exec,
    /// The task exits: to none.
    Exit,
    /// A clone that failed after its namespaces were made is cleaned up: to none.
    CloneFailed,
}

impl Way {
    /// Its name in traces.
    pub const fn name(self) -> &'static str {
        match self {
            Way::Unshare => "unshare",
            Way::Setns => "setns",
            Way::Switch => "switch",
            Way::Exec => "exec",
            Way::Exit => "exit",
            Way::CloneFailed => "clone-failed",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The inode numbers of a task's namespaces at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Ids {
    inode: [Option<u32>; Link::ALL.len()],
}

impl Ids {
    /// The number that one link shows; `None` for a type that is not built or was given up.
    pub fn get(&self, link: impl Into<Link>) -> Option<u32> {
        self.inode[link.into() as usize]
    }

    pub(crate) fn set(&mut self, link: Link, inode: u32) {
        self.inode[link as usize] = Some(inode);
    }

    /// The links with their numbers; those for children only where they lead elsewhere than the
    /// task's own.
    pub fn iter(&self) -> impl Iterator<Item = (Link, u32)> {
        Link::ALL.iter().filter_map(|link| {
            let inode = self.get(*link)?;
            let same = link.is_for_children() && self.get(link.kind()) == Some(inode);
            (!same).then_some((*link, inode))
        })
    }
}

/// `uts:[4026531838] user:[4026531837]`.
impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (link, inode) in self.iter() {
            write!(f, "{separator}{link}:[{inode}]")?;
            separator = " ";
        }
        Ok(())
    }
}

/// Something that happened. Numbers are those of `/proc/PID/ns`.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A namespace was made. It may still be undone with its call; then `Freed` follows.
    Created {
        /// Its type.
        kind: Kind,
        /// Its number.
        inode: u32,
        /// The number of the user namespace that owns it; its parent if it is one itself.
        owner: u32,
    },
    /// A namespace lost its last reference. Its number is free again after this event.
    Freed {
        /// Its type.
        kind: Kind,
        /// Its number.
        inode: u32,
    },
    /// A task was born.
    Born {
        /// Its parent, or the thread that made it.
        parent: TaskId,
        /// The new task.
        child: TaskId,
        /// As given to clone.
        flags: CloneFlags,
        /// Where it was born.
        ids: Ids,
    },
    /// A task's namespaces changed.
    Switched {
        /// Whose.
        task: TaskId,
        /// What the embedder calls the task: [`Task::tag`](crate::Task::tag).
        tag: u64,
        /// Which way.
        way: Way,
        /// What it left.
        old: Ids,
        /// Where it is now; all `None` after an exit but for the user namespace.
        new: Ids,
    },
    /// A call was refused.
    Refused {
        /// Whose.
        task: TaskId,
        /// What the embedder calls the task.
        tag: u64,
        /// The call's name.
        call: &'static str,
        /// The rule and the values.
        refusal: &'a Refusal,
    },
}

/// An onlooker, set with [`System::with_events`](crate::System::with_events).
///
/// It is called on the thread on which the thing happened, while that task's change lock may be
/// held: it must not change that task. Reading any task is fine.
pub trait Events: Send + Sync {
    /// Is told of one event.
    fn event(&self, event: &Event<'_>);
}
