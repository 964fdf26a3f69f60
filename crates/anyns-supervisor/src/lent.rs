//! Descriptors that guests have sent us, because the host does not let us take them, and that wait for
//! the calls that are about them to be made anew.

use std::os::fd::OwnedFd;

use parking_lot::Mutex;
use rustix::io::Errno;

use crate::maps::HashMap;

/// More callers than that are not on their way back; some have died.
const MAX: usize = 64;

type Asked = (i64, [u64; 6]);

/// What one call is about: descriptors by the caller's numbers, or why there are none.
pub(crate) type Sent = Vec<(i32, Result<OwnedFd, Errno>)>;

/// What was sent, by thread and call.
#[derive(Debug, Default)]
pub(crate) struct Lent(Mutex<HashMap<i32, (Asked, Sent)>>);

impl Lent {
    /// Keeps what thread `tid` has sent for its call.
    pub(crate) fn keep(&self, tid: i32, nr: i64, args: [u64; 6], sent: Sent) {
        let mut lent = self.0.lock();
        if lent.len() >= MAX {
            lent.clear();
        }
        lent.insert(tid, ((nr, args), sent));
    }

    /// Takes it, if this is the call.
    pub(crate) fn take(&self, tid: i32, nr: i64, args: [u64; 6]) -> Sent {
        let kept = self.0.lock().remove(&tid);
        kept.filter(|(asked, _)| *asked == (nr, args)).map(|(_, sent)| sent).unwrap_or_default()
    }
}
