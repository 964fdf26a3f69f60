//! A thread that the tracer of the stop back end has seized for good, lent to a worker.
//!
//! The worker hears of its stops and says what shall become of it; the requests themselves are made
//! by the tracer, since ptrace belongs to the thread that seized. Lending costs nothing but a lock.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::run::is_restart;
use super::{Kind, NEW_TASK, Next as Any, Why};
use crate::Tid;
use crate::arch::Regs;
use crate::held::Owner;
use crate::notify::{ERESTARTSYS, Port};
use crate::stop::{Ask, Heard, Keeper, Slot, Stand};

type Next = Any<Running, Stopped>;

/// How long a wait goes on before it looks whether the awaited event can still come.
const LOOK_AFTER: Duration = Duration::from_millis(4);
const LOOK_AT_MOST: Duration = Duration::from_millis(64);
/// How long a number may be gone before its thread is taken for dead though no death was told.
const LOST: Duration = Duration::from_secs(10);

/// The right to say what becomes of one traced thread. Given back when dropped.
struct Loan {
    keeper: Arc<Keeper>,
    slot: Arc<Slot>,
    tid: Tid,
    /// Where its told calls are answered, and the number under which it is registered there.
    port: Option<(Arc<Port>, Tid)>,
    patience: Duration,
    /// Since when there has been no such number.
    gone: Option<Instant>,
    /// It has been given back, and may have been lent to somebody else since.
    over: bool,
}

impl Loan {
    fn new(keeper: &Arc<Keeper>, slot: Arc<Slot>, tid: Tid) -> Loan {
        let keeper = Arc::clone(keeper);
        Loan { keeper, slot, tid, port: None, patience: LOOK_AFTER, gone: None, over: false }
    }

    /// Ends it while the thread stands; the tracer does the rest.
    fn end(mut self, ask: impl FnOnce(Tid) -> Ask) {
        self.unregister();
        self.slot.give_up();
        self.over = true;
        self.keeper.ask(ask(self.tid));
    }

    fn unregister(&mut self) {
        if let Some((port, tid)) = self.port.take()
            && let Some(stray) = port.held.leave(tid, &Owner::Slot(Arc::clone(&self.slot)))
        {
            port.restart(stray);
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        self.unregister();
        if self.slot.give_back_running() {
            self.keeper.ask(Ask::Settle { tid: self.tid, regs: None });
        }
    }
}

/// Such a thread while it runs.
pub(crate) struct Running(Loan);

/// Such a thread while it stands. Dropping it lets it go.
pub(crate) struct Stopped {
    loan: Option<Loan>,
    stand: Stand,
    /// Registers to be written before it runs.
    changed: RefCell<Option<Regs>>,
}

/// Borrows `tid`, which goes on running; with [`NEW_TASK`] among the options its child, too.
/// `WouldBlock` if its tracer has just let go of it or is about to.
pub(super) fn borrow(
    keeper: &Arc<Keeper>,
    port: Option<&Arc<Port>>,
    tid: Tid,
    options: i32,
) -> io::Result<Running> {
    let slot = keeper.slot(tid).ok_or(io::ErrorKind::WouldBlock)?;
    slot.borrow(options & NEW_TASK != 0)?;
    let mut loan = Loan::new(keeper, Arc::clone(&slot), tid);
    if let Some(port) = port {
        if let Some(stray) = port.held.enter(tid, Owner::Slot(slot)) {
            port.restart(stray);
        }
        loan.port = Some((Arc::clone(port), tid));
    }
    Ok(Running(loan))
}

/// The child of `parent`, which died before it could tell its number.
pub(super) fn orphan(keeper: &Keeper, parent: Tid) -> Option<Running> {
    let (keeper, slot, tid) = keeper.orphan(parent)?;
    Some(Running(Loan::new(&keeper, slot, tid)))
}

/// A thread that stands at a call and has been lent together with that call.
pub(crate) fn at_call(keeper: &Arc<Keeper>, slot: Arc<Slot>, tid: Tid, stand: Stand) -> Stopped {
    let loan = Loan::new(keeper, slot, tid);
    Stopped { loan: Some(loan), stand, changed: RefCell::new(None) }
}

impl Running {
    pub(super) fn tid(&self) -> Tid {
        self.0.tid
    }

    pub(super) fn keeper(&self) -> &Arc<Keeper> {
        &self.0.keeper
    }

    pub(super) fn port(&self) -> Option<&Port> {
        self.0.port.as_ref().map(|(port, _)| &**port)
    }

    pub(super) fn interrupt(&self) {
        self.0.keeper.interrupt(self.0.tid);
    }

    pub(super) fn wait(mut self) -> Next {
        match self.0.slot.hear(self.0.patience) {
            Heard::Stand(stand) => {
                self.0.tid = stand.tid;
                let why = stand.why;
                let changed = RefCell::new(None);
                Next::Stopped(Stopped { loan: Some(self.0), stand, changed }, why)
            }
            Heard::Dead => Next::Dead,
            Heard::Mail(id) => Next::Mail(self, id),
            Heard::Nothing => {
                // A number that is gone may be about to come back as its group's, after an exec.
                // How long that takes is up to the host's load.
                self.0.patience = (self.0.patience * 2).min(LOOK_AT_MOST);
                if exists(self.0.tid) {
                    self.0.gone = None;
                    return Next::Tick(self);
                }
                let since = *self.0.gone.get_or_insert_with(Instant::now);
                if since.elapsed() > LOST { Next::Dead } else { Next::Tick(self) }
            }
        }
    }
}

/// Whether there is such a thread, dead or alive.
fn exists(tid: Tid) -> bool {
    std::fs::exists(format!("/proc/{tid}")).unwrap_or(true)
}

impl Stopped {
    fn loan(&self) -> &Loan {
        self.loan.as_ref().expect("taken only by the methods that consume")
    }

    pub(super) fn tid(&self) -> Tid {
        self.loan().tid
    }

    pub(crate) fn keeper(&self) -> &Arc<Keeper> {
        &self.loan().keeper
    }

    /// Whether it has not been killed where it stands, as far as is known.
    pub(crate) fn is_alive(&self) -> bool {
        self.loan().slot.is_alive()
    }

    /// For a look at whether it still lives.
    pub(crate) fn slot(&self) -> &Slot {
        &self.loan().slot
    }

    pub(super) fn port(&self) -> Option<Arc<Port>> {
        self.loan().port.as_ref().map(|(port, _)| Arc::clone(port))
    }

    pub(super) fn regs(&self) -> Option<Regs> {
        (*self.changed.borrow()).or(self.stand.regs)
    }

    pub(super) fn set_regs(&self, regs: &Regs) {
        *self.changed.borrow_mut() = Some(*regs);
    }

    pub(super) fn child(&self) -> Option<Running> {
        let (slot, child) = self.stand.child.clone()?;
        Some(Running(Loan::new(&self.loan().keeper, slot, child)))
    }

    /// Lets it make the call that its registers are set for.
    pub(super) fn run_call(mut self, args: [u64; 6], kind: Kind) -> Running {
        let loan = self.loan.take().expect("taken only by the methods that consume");
        let regs = self.changed.take().or(self.stand.regs);
        loan.slot.expect_births(kind == Kind::Birth);
        let quiet = kind == Kind::Extra;
        if let Some(mut regs) = regs {
            regs.set_args(loan.keeper.passing(args));
            loan.keeper.ask(Ask::Call { tid: loan.tid, regs, quiet });
        }
        Running(loan)
    }

    /// Ends the loan; what it stands before is dealt with as if it had never been lent.
    pub(super) fn give_back(mut self, why: Why) {
        // The tracer knows why it stands.
        let _ = why;
        self.end();
    }

    /// The same thread with these registers.
    pub(crate) fn with_regs(mut self, regs: Regs) -> Stopped {
        self.stand.regs = Some(regs);
        self.set_regs(&regs);
        self
    }

    pub(crate) fn shared_slot(&self) -> Arc<Slot> {
        Arc::clone(&self.loan().slot)
    }

    /// The signals that it blocked when it was lent.
    pub(crate) fn mask(&self) -> u64 {
        self.stand.mask
    }

    /// The stack pointer.
    pub(crate) fn stack(&self) -> Option<u64> {
        self.regs().map(|regs| regs.stack())
    }

    /// Ends the loan and the call that it stands at with a result.
    pub(crate) fn answer(mut self, result: i64) {
        // A result that does not look like "make the call anew" needs no other register changed.
        if !is_restart(result)
            && self.changed.borrow().is_none()
            && let Some(loan) = self.loan.take()
        {
            return loan.end(|tid| Ask::Answer { tid, result });
        }
        if let Some(mut regs) = self.stand.regs {
            regs.set_result(result);
            // In no call any more, so that nothing is restarted.
            regs.set_nr(-1);
            self.set_regs(&regs);
        }
    }

    /// Ends the loan for a signal that waits. The kernel makes the call anew if there is no handler, or
    /// one with SA_RESTART; otherwise it says EINTR.
    pub(crate) fn interrupted(mut self) {
        // As the kernel has it before a signal is delivered: it is still in its call.
        let result = -i64::from(ERESTARTSYS);
        match self.changed.take() {
            None => {
                if let Some(loan) = self.loan.take() {
                    loan.end(|tid| Ask::Answer { tid, result });
                }
            }
            Some(mut regs) => {
                regs.set_result(result);
                self.set_regs(&regs);
            }
        }
    }

    /// Ends the loan and has the call that it stands at made by the kernel.
    pub(crate) fn pass(mut self) {
        if let Some(loan) = self.loan.take()
            && let Some(regs) = self.stand.regs
        {
            loan.end(|tid| Ask::Pass { tid, regs });
        }
    }

    fn end(&mut self) {
        if let Some(loan) = self.loan.take() {
            let regs = self.changed.take();
            loan.end(|tid| Ask::Settle { tid, regs });
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.end();
    }
}
