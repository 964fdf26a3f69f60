//! S, the supervisor: the process in which calls are answered.
//!
//! Here is only its place in the chain. It starts the watchdog, waits for the first guest's filter, lets the
//! embedder start its engine and then watches C and W. It has a session of its own, takes no
//! signal, and cannot be opened or traced by guests of the same user (not dumpable).
//!
//! When C dies without a goodbye, W cleans and S stops answering forks; when W dies, guests come up
//! to S, and S cleans.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::DumpableBehavior;

use super::inherited::Inherited;
use super::link::{Got, Link, Message};
use super::{Options, Pids, Supervise, cleaner, sys, watch, watchdog};
use crate::Tid;
use crate::filter::Filter;

/// Where the embedder finds itself when it prepares: in S, with one thread.
#[derive(Debug)]
pub struct Place {
    /// The three processes of the chain.
    pub pids: Pids,
    complaint: Complaint,
}

impl Place {
    /// A way to tell the user something.
    pub fn complaint(&self) -> Complaint {
        self.complaint.clone()
    }
}

/// What the embedder gets when the first guest has installed the filter.
#[derive(Debug)]
pub struct Tree {
    /// The first guest. It executes the command after the embedder's function has returned.
    pub first: Tid,
    /// Where told calls arrive, if any are told.
    pub listener: Option<OwnedFd>,
}

/// A way to tell the user something on the standard error of the command line process.
#[derive(Clone, Debug)]
pub struct Complaint(Arc<Link>);

impl Complaint {
    /// Says one line. It is lost when the command line process has gone, or has no standard error
    /// that it may hold open.
    pub fn say(&self, text: &str) {
        self.0.send(&Message::Complaint { text: text.to_owned() }, &[]);
    }
}

/// What the supervisor is born with.
pub(super) struct Post<'a, F> {
    pub(super) options: &'a Options,
    pub(super) inherited: &'a Inherited,
    pub(super) filter: F,
    pub(super) cli: i32,
    pub(super) cli_pidfd: OwnedFd,
    pub(super) to_cli: Link,
    pub(super) watchdog_to_cli: Link,
}

struct Chain {
    cli: OwnedFd,
    to_cli: Arc<Link>,
    cli_gone: bool,
    watchdog: OwnedFd,
    to_watchdog: Link,
}

/// Is the supervisor until no guest is left.
pub(super) fn run<F, S, P>(post: Post<'_, F>, prepare: S) -> !
where
    F: FnOnce(&Pids) -> Filter,
    S: FnOnce(Place) -> std::io::Result<P>,
    P: FnOnce(Tree) -> std::io::Result<Box<dyn Supervise>>,
{
    let Err(_) = start(post, prepare);
    // Whatever has been started ends with the listener, the go pipe and this process.
    sys::leave(1)
}

fn start<F, S, P>(post: Post<'_, F>, prepare: S) -> Result<std::convert::Infallible, std::io::Error>
where
    F: FnOnce(&Pids) -> Filter,
    S: FnOnce(Place) -> std::io::Result<P>,
    P: FnOnce(Tree) -> std::io::Result<Box<dyn Supervise>>,
{
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let me = std::process::id() as i32;
    let my_pidfd = watch::open(me)?;
    let (to_watchdog, to_supervisor) = Link::pair()?;
    let (go, go_in) = pipe_with(PipeFlags::CLOEXEC)?;
    let forked = sys::fork().inspect_err(|error| {
        let errno = error.raw_os_error().unwrap_or(0);
        post.to_cli.send(&Message::NoProcess { errno }, &[]);
    });
    let watchdog_pid = match forked? {
        sys::Side::Child => watchdog::run(watchdog::Post {
            argv: &post.options.argv,
            cli: post.cli,
            supervisor: me,
            inherited: post.inherited,
            filter: post.filter,
            to_cli: post.watchdog_to_cli,
            to_supervisor,
            cli_pidfd: post.cli_pidfd,
            supervisor_pidfd: my_pidfd,
            go,
        }),
        sys::Side::Parent(pid) => pid,
    };
    drop((post.filter, post.watchdog_to_cli, to_supervisor, my_pidfd, go));
    let watchdog = watch::open(watchdog_pid)?;
    let mut kept = post.options.keep.clone();
    kept.extend([
        post.to_cli.number(),
        post.cli_pidfd.as_raw_fd(),
        to_watchdog.number(),
        go_in.as_raw_fd(),
        watchdog.as_raw_fd(),
    ]);
    detach(kept)?;
    let to_cli = Arc::new(post.to_cli);
    let pids = Pids { cli: post.cli, supervisor: me, watchdog: watchdog_pid };
    let complaint = Complaint(Arc::clone(&to_cli));
    let mut chain = Chain { cli: post.cli_pidfd, to_cli, cli_gone: false, watchdog, to_watchdog };
    // While the guest compiles and installs its filter.
    let prepared = chain.trying(|| prepare(Place { pids, complaint }))?;
    let tree = chain.wait_for_filter();
    // The threads that serve come now.
    post.inherited.spread();
    let number = tree.listener.as_ref().map(AsRawFd::as_raw_fd);
    let served = chain.trying(|| prepared(tree))?;
    rustix::io::write(&go_in, b"g")?;
    drop(go_in);
    chain.serve(served, number)
}

/// Gives up everything that belongs to the command: descriptors, session, directory.
fn detach(mut kept: Vec<RawFd>) -> std::io::Result<()> {
    let null = sys::open_null()?;
    kept.push(null.as_raw_fd());
    sys::close_all_but(&kept, false)?;
    sys::fill_standard([null.as_fd(); 3], &kept);
    rustix::process::chdir("/")?;
    rustix::process::setsid()?;
    // Stops of traced guests are waited for by whoever traces; nobody needs a signal for them.
    sys::set_disposition(libc::SIGCHLD, sys::Disposition::Default, true);
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_name(c"anyns-serve")?;
    crate::sys::share_heap();
    // Guests wait for us; without it they wait a little longer on a busy machine.
    let _ = crate::sys::take_short_turns();
    Ok(())
}

impl Chain {
    /// Runs a function of the embedder's; when it fails, the user hears why.
    fn trying<T>(&self, function: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
        catch_unwind(AssertUnwindSafe(function))
            .unwrap_or_else(|_| Err(std::io::Error::other("it panicked")))
            .inspect_err(|error| {
                let message = match error.raw_os_error() {
                    Some(libc::EAGAIN) => Message::NoProcess { errno: libc::EAGAIN },
                    _ => Message::NotServing { text: error.to_string() },
                };
                self.to_cli.send(&message, &[]);
            })
    }

    fn wait_for_filter(&mut self) -> Tree {
        loop {
            let watched = [self.to_watchdog.as_fd(), self.watchdog.as_fd(), self.cli.as_fd()];
            let ready = watch::ready(&watched, None);
            if ready[0] {
                match self.to_watchdog.receive() {
                    Got::Message(Message::Installed { guest }, descriptors) => {
                        let listener = descriptors.into_iter().next();
                        return Tree { first: Tid(guest), listener };
                    }
                    Got::Message(..) | Got::Nothing => {}
                    Got::Closed => self.end(),
                }
            }
            if ready[1] || ready[2] {
                self.end();
            }
        }
    }

    fn serve(&mut self, served: Box<dyn Supervise>, listener: Option<RawFd>) -> ! {
        loop {
            let watched = [
                self.watchdog.as_fd(),
                self.to_watchdog.as_fd(),
                self.cli.as_fd(),
                self.to_cli.as_fd(),
            ];
            // Once C has gone its pidfd and socket would stay readable.
            let count = if self.cli_gone { 2 } else { 4 };
            let mut ready = watch::ready(&watched[..count], None);
            ready.resize(4, false);
            if ready[1] && matches!(self.to_watchdog.receive(), Got::Message(Message::Alone, _)) {
                let _ = catch_unwind(AssertUnwindSafe(|| served.finished()));
                sys::leave(0);
            }
            if ready[0] || ready[1] {
                freeze(&*served, listener);
                self.end();
            }
            if ready[2] || ready[3] {
                match self.to_cli.receive() {
                    Got::Message(Message::Goodbye, _) => self.cli_gone = true,
                    Got::Message(..) => {}
                    Got::Nothing if !ready[2] => {}
                    Got::Nothing | Got::Closed => {
                        freeze(&*served, listener);
                        self.end();
                    }
                }
            }
        }
    }

    /// C or W is dead: W cleans if it can, then we do.
    fn end(&self) -> ! {
        if !watch::wait_for_end(&self.watchdog, cleaner::GRACE) {
            watch::kill(&self.watchdog);
        }
        cleaner::clean(&[], None);
        crate::store::remove_own();
        sys::leave(1)
    }
}

/// Makes sure that no call is answered any more, so that no guest forks.
fn freeze(served: &dyn Supervise, listener: Option<RawFd>) {
    if let Some(listener) = listener
        && let Ok((dead, _)) = pipe_with(PipeFlags::CLOEXEC)
    {
        sys::replace(listener, dead.as_fd());
    }
    let _ = catch_unwind(AssertUnwindSafe(|| served.freeze()));
}
