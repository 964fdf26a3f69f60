//! Identities alone, which need no guest.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Judge, Placeholders, Write};

#[derive(Default)]
struct Closed(Mutex<HashSet<u64>>);

impl Judge for Closed {
    fn write(&self, _: u64, _: &Write) -> Result<usize, i32> {
        Err(libc::EINVAL)
    }

    fn closed(&self, token: u64) {
        self.0.lock().insert(token);
    }
}

/// The thread hears of a close while somebody else tells of it, and our end's number is taken again at
/// once: it must not tell of the new one.
#[test]
fn an_event_is_not_the_next_ones() {
    const ROUNDS: u64 = 20_000;
    let judge = Arc::new(Closed::default());
    let placeholders = Placeholders::start(judge.clone()).expect("a thread");
    for round in 0..ROUNDS {
        let (short, _) = placeholders.create_token(2 * round).expect("a pipe");
        drop(short);
        placeholders.settle();
        let (kept, _) = placeholders.create_token(2 * round + 1).expect("a pipe");
        // Time for the thread to tell.
        std::thread::yield_now();
        placeholders.settle();
        let closed = std::mem::take(&mut *judge.0.lock());
        assert!(closed.contains(&(2 * round)), "round {round}: {closed:?}");
        assert!(!closed.contains(&(2 * round + 1)), "round {round}: what is open is no more known");
        drop(kept);
        placeholders.settle();
    }
}
