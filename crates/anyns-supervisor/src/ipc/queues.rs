//! POSIX queues: which of the host's is which of the model's.
//!
//! A queue of the host has no name, and is kept by a descriptor of ours for as long as the model's
//! has one. After that guests may still have it open, and it counts against the limits of its maker
//! for as long as that: the kernel tells when it ends (inotify(7)).

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use anyns_trap::objects::Queue;
use nsproxy::ipc::MqQueue;
use rustix::fs::inotify;
use rustix::io::Errno;

/// The queues of all namespaces.
#[derive(Default)]
pub(crate) struct Queues {
    list: Vec<Known>,
    /// Tells of the ends of queues without a name.
    ends: Option<OwnedFd>,
}

struct Known {
    queue: Arc<MqQueue>,
    host: Host,
}

enum Host {
    /// It has a name.
    Named(Queue),
    /// It has lost its name, and ends with its last descriptor: the number of the watch.
    Ends(i32),
}

impl Queues {
    /// A descriptor of a queue of the model's, opened with these flags. The queue is made if the
    /// model has just made it.
    ///
    /// # Errors
    /// The host's.
    pub(crate) fn open(&mut self, queue: &Arc<MqQueue>, flags: i32) -> Result<OwnedFd, Errno> {
        let known = self.list.iter().find(|known| Arc::ptr_eq(&known.queue, queue));
        match known.map(|known| &known.host) {
            Some(Host::Named(host)) => host.open(flags),
            Some(Host::Ends(_)) => Err(Errno::NOENT),
            None => {
                let (messages, size) = queue.attributes();
                let host = Queue::create(messages, size)?;
                let opened = host.open(flags)?;
                let queue = Arc::clone(queue);
                self.list.push(Known { queue, host: Host::Named(host) });
                Ok(opened)
            }
        }
    }

    /// Lets go of queues that have lost their names, and of what has ended.
    pub(crate) fn settle(&mut self) {
        let ends = &mut self.ends;
        self.list.retain_mut(|known| {
            // The model's names hold the others.
            if Arc::strong_count(&known.queue) > 1 {
                return true;
            }
            match &known.host {
                Host::Ends(_) => true,
                Host::Named(host) => match watch(ends, host) {
                    Ok(watch) => {
                        known.host = Host::Ends(watch);
                        true
                    }
                    // Then it is forgotten too early, which is better than never.
                    Err(_) => false,
                },
            }
        });
        let Some(ends) = &self.ends else { return };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(ends, &mut buffer);
        while let Ok(event) = events.next() {
            let over = event.wd();
            self.list.retain(|known| !matches!(known.host, Host::Ends(watch) if watch == over));
        }
    }
}

fn watch(ends: &mut Option<OwnedFd>, queue: &Queue) -> Result<i32, Errno> {
    let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
    let ends = match ends {
        Some(ends) => ends,
        None => ends.insert(inotify::init(flags)?),
    };
    let link = format!("/proc/self/fd/{}", queue.as_fd().as_raw_fd());
    inotify::add_watch(ends, link, inotify::WatchFlags::DELETE_SELF)
}
