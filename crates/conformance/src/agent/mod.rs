//! The process that makes the calls: `conformance-agent`.
//!
//! A driver gives it, over its standard input, one socket for every actor of a scenario. Each
//! actor, be it a process or a thread, reads calls from its own socket, makes them and sends back
//! what they gave. Children inherit all sockets, so they can obey from their first moment on, and a
//! re-executed agent goes on where it was.
//!
//! One lock makes the threads of a process take turns: whoever is not waiting for its next call
//! holds it. So a raw clone, which copies only the calling thread, never copies an allocator that
//! another thread is half way through.

mod births;
mod cgroup;
mod files;
mod ipc;
mod mnt;
mod net;
mod perform;
pub(crate) mod pid;
mod signal;
mod status;
pub(crate) mod time;

use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyns_trap::raw;

use crate::lang::errno_text;

pub(crate) use ipc::{mq_attributes, owner_text, stat_text};
pub(crate) use mnt::names_text;
pub(crate) use net::link_text;
pub(crate) use signal::handled_text;
pub(crate) use status::{four, list};

/// Where the actors' sockets stand, from here upwards.
pub(crate) const FIRST_SOCKET: i32 = 100;
/// The two ends of the socket on which actors send each other descriptors.
pub(crate) const MAIL: [i32; 2] = [98, 99];
/// Where `/proc` as it was at the start stands.
const PROC: i32 = 97;
/// Where the descriptors that a scenario names stand, from here upwards.
pub(crate) const FIRST_DESCRIPTOR: i32 = 200;
/// The longest message either way, in bytes.
pub(crate) const MESSAGE: usize = 1 << 16;
/// What the part of an answer ends with that has more after it. No text has it: what is not
/// printable is escaped.
pub(crate) const MORE: u8 = 1;

/// What is the same for every actor of a process.
#[derive(Debug)]
struct Cast {
    /// The agent's own file, for exec.
    program: String,
    /// The actors' names, in the order of their sockets.
    names: Vec<String>,
}

static CAST: OnceLock<Cast> = OnceLock::new();
static TURN: Mutex<()> = Mutex::new(());

fn cast() -> &'static Cast {
    static NOBODY: Cast = Cast { program: String::new(), names: Vec::new() };
    CAST.get().unwrap_or(&NOBODY)
}

/// The right to run: nobody else of the process does anything meanwhile.
struct Turn(Option<MutexGuard<'static, ()>>);

impl Turn {
    /// Waits for it.
    fn take() -> Turn {
        Turn(Some(TURN.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Gives it up until [`Turn::again`].
    fn pause(&mut self) {
        self.0 = None;
    }

    /// Waits for it anew.
    fn again(&mut self) {
        *self = Turn::take();
    }
}

/// What an actor is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Process,
    Thread,
    /// A process in its suspended parent's memory. It makes no threads: its end could kill one in
    /// the middle of something, and leave that memory so.
    Vforked,
}

/// An actor at work.
struct Actor {
    socket: i32,
    sort: Sort,
}

/// What a call leads to.
enum Outcome {
    /// This is the answer.
    Answer(String),
    /// The actor ends, with this status if it is a process.
    End(i32),
}

/// Runs the agent with the arguments of its command line. Returns only on a mistake.
pub fn main(args: &[String]) -> String {
    let program = args.first().cloned().unwrap_or_default();
    let (names, name) = match args.get(1).map(String::as_str) {
        Some("serve") => match receive_sockets(&args[2..]) {
            Ok(()) => (args[2..].to_vec(), args[2].clone()),
            Err(error) => return error,
        },
        Some("resume") if args.len() > 3 => (args[3..].to_vec(), args[2].clone()),
        _ => return "conformance-agent serve NAME.. (a driver starts it)".into(),
    };
    let _ = CAST.set(Cast { program, names });
    match Actor::new(&name, Sort::Process) {
        Some(actor) => actor.obey(Turn::take()),
        None => format!("conformance-agent: no socket for {name}"),
    }
}

/// Takes the sockets from standard input: the mail's two ends, then one for each name.
fn receive_sockets(names: &[String]) -> Result<(), String> {
    let wanted = MAIL.into_iter().chain((0..names.len() as i32).map(|n| FIRST_SOCKET + n));
    for place in wanted {
        let got = raw::receive_descriptor(0)
            .map_err(|error| format!("conformance-agent: no sockets on standard input: {error}"))?;
        raw::duplicate(got, place).map_err(|error| format!("conformance-agent: {error}"))?;
        let _ = raw::close(got);
    }
    // Nothing may keep this one open, and no other file may get its number.
    let null = std::fs::File::open("/dev/null").map_err(|error| error.to_string())?;
    raw::duplicate(null.as_raw_fd(), 0).map_err(|error| error.to_string())?;
    mnt::keep_proc()?;
    Ok(())
}

impl Actor {
    fn new(name: &str, sort: Sort) -> Option<Actor> {
        let place = cast().names.iter().position(|known| known == name)?;
        Some(Actor { socket: FIRST_SOCKET + place as i32, sort })
    }

    /// The actor's name.
    fn name(&self) -> &'static str {
        &cast().names[(self.socket - FIRST_SOCKET) as usize]
    }

    /// Says something to the driver; if that is gone, gives up the turn and ends.
    fn send(&self, text: &str, turn: &mut Turn) {
        let mut left = text.as_bytes();
        while left.len() > MESSAGE {
            let (part, rest) = left.split_at(MESSAGE - 1);
            self.send_part(&[part, &[MORE]].concat(), turn);
            left = rest;
        }
        self.send_part(left, turn);
    }

    fn send_part(&self, part: &[u8], turn: &mut Turn) {
        if raw::write(self.socket, part).is_err() {
            turn.pause();
            raw::exit_now(120);
        }
    }

    /// Announces itself, then makes the calls it is told to until its end.
    fn obey(&self, turn: Turn) -> ! {
        match (self.sort, self.follow(turn)) {
            (Sort::Thread, _) => raw::exit_thread(),
            (_, status) => raw::exit_now(status),
        }
    }

    /// Ends because the driver has gone.
    ///
    /// A process takes its threads along, one of which may still have the turn from its last
    /// answer; a vfork child of theirs would then wait for it for ever. So it waits for the turn,
    /// which nobody takes any more, and gives it back: the lock of a vfork child is its parent's.
    fn leave(&self, turn: &mut Turn) -> ! {
        if self.sort == Sort::Thread {
            raw::exit_thread();
        }
        turn.again();
        turn.pause();
        raw::exit_now(0)
    }

    /// As [`Actor::obey`], but returns the status at the end.
    fn follow(&self, turn: Turn) -> i32 {
        let mut turn = turn;
        let (process, thread) = pid::shown();
        let hello = format!("hello {process} {thread}");
        self.send(&hello, &mut turn);
        let mut buffer = vec![0; MESSAGE];
        loop {
            turn.pause();
            let count = match raw::read(self.socket, &mut buffer) {
                Ok(0) => self.leave(&mut turn),
                Ok(count) => count,
                Err(raw::Errno::INTR) => continue,
                Err(_) => raw::exit_now(121),
            };
            turn.again();
            let answer = match std::str::from_utf8(&buffer[..count]) {
                Ok(message) => self.perform(message, &mut turn),
                Err(_) => Outcome::Answer("!not text".into()),
            };
            match answer {
                Outcome::Answer(text) => self.send(&text, &mut turn),
                Outcome::End(status) => {
                    self.send("0", &mut turn);
                    return status;
                }
            }
        }
    }
}

/// The text of a result that is only success or an error number.
fn done<T>(result: Result<T, raw::Errno>) -> String {
    match result {
        Ok(_) => "0".into(),
        Err(errno) => refused(errno),
    }
}

/// The text of a result that is a number.
fn counted(result: Result<usize, raw::Errno>) -> String {
    result.map_or_else(refused, |count| count.to_string())
}

fn refused(errno: raw::Errno) -> String {
    errno_text(errno.raw_os_error())
}
