//! The published pointer: readers never wait, and never see half of anything.
//!
//! Linux published `task->nsproxy` with RCU from 2.6.24 to 3.16: a reader entered a read section,
//! loaded the pointer, took its reference and left; a writer published the new object and, when
//! its own drop was the last, waited for every reader that might still hold the old one. That is
//! what is done here, without unsafe code ([0004] says why, and what was tried before):
//!
//! * [`Published::read`] gives the complete old object or the complete new one.
//! * [`Published::assign`] puts a complete object in place and hands back the old one, so that
//!   the caller drops it *outside* every lock.
//! * The old object dies when the last of {pointer, readers} lets go, exactly once: it is an
//!   `Arc`.
//!
//! Kernel names: `rcu_assign_pointer` is `assign`, `rcu_dereference` is `with`, the reference
//! taken before leaving the section is `read`. `synchronize_rcu` is a writer's wait for the readers
//! that are taking their reference from the place it wants to empty: as long as two counts take.
//!
//! # How
//!
//! There are two slots, each behind a lock that is only ever *tried* by readers, and a word that
//! says which slot is current. A writer fills the other slot, turns the word while it still holds
//! that slot, lets go, and empties the slot that was current.
//!
//! * A writer holds one slot at a time. So a reader that finds the current slot held finds the
//!   other one free and full: either the writer has not let go of the new object, and nobody has
//!   seen it yet, or it is emptying the old slot and the new object is in the other one. Wherever
//!   a writer was descheduled, readers go on.
//! * Only writers that go on can make a reader try again. A reader that was overtaken twice says so
//!   in the word, and no writer begins before it has what it came for.
//! * What is read was current at some time during the read: an object is seen by nobody before the
//!   word is turned to it, because its slot is held until then, and leaves its slot only after the
//!   word was turned away.
//!
//! [0004]: https://github.com/anyns/anyns/blob/main/docs/decisions/0004-the-published-pointer.md

use crate::sync::{Arc, AtomicU32, Mutex, Ordering, RwLock, pause};
use alloc::boxed::Box;
use once_cell::race::OnceBox;

/// Which slot is current.
const SLOT: u32 = 1;
/// Nothing is published any more, for ever.
const CLOSED: u32 = 2;
/// One reader that was overtaken; the bits from here up count them.
const OVERTAKEN: u32 = 4;

/// How often a reader is overtaken before it says so.
const PATIENCE: usize = 2;

struct Pointer<T> {
    word: AtomicU32,
    /// One writer at a time.
    writing: Mutex<()>,
    first: Slot<T>,
    /// Made by the first writer: most pointers never have one.
    second: OnceBox<Slot<T>>,
}

type Slot<T> = RwLock<Option<Arc<T>>>;

impl<T> Pointer<T> {
    fn new(value: Option<Arc<T>>) -> Pointer<T> {
        let word = if value.is_some() { 0 } else { CLOSED };
        Pointer {
            word: AtomicU32::new(word),
            writing: Mutex::new(()),
            first: RwLock::new(value),
            second: OnceBox::new(),
        }
    }

    fn slot(&self, number: u32) -> Option<&Slot<T>> {
        if number == 0 { Some(&self.first) } else { self.second.get() }
    }

    /// The same for a writer, who makes what is missing.
    fn own_slot(&self, number: u32) -> &Slot<T> {
        let made = || Box::new(RwLock::new(None));
        if number == 0 { &self.first } else { self.second.get_or_init(made) }
    }

    /// What is published; `None` once it is closed.
    fn read(&self) -> Option<Arc<T>> {
        for _ in 0..PATIENCE {
            if let Some(found) = self.look() {
                return found;
            }
        }
        self.word.fetch_add(OVERTAKEN, Ordering::AcqRel);
        let found = loop {
            if let Some(found) = self.look() {
                break found;
            }
            pause();
        };
        self.word.fetch_sub(OVERTAKEN, Ordering::AcqRel);
        found
    }

    /// One try. `None`: a writer was faster, twice.
    fn look(&self) -> Option<Option<Arc<T>>> {
        let word = self.word.load(Ordering::Acquire);
        if word & CLOSED != 0 {
            return Some(None);
        }
        let current = word & SLOT;
        [current, current ^ 1].into_iter().find_map(|slot| {
            // An empty one: it was current when we looked at the word, and is no more.
            self.slot(slot)?.try_read()?.clone().map(Some)
        })
    }

    /// Publishes `new`, or nothing for ever, and returns what it replaced; `new` itself if it is
    /// closed.
    fn replace(&self, new: Option<Arc<T>>) -> Option<Arc<T>> {
        let writing = self.writing.lock();
        let word = loop {
            let word = self.word.load(Ordering::Acquire);
            if word & CLOSED != 0 {
                return new;
            }
            if word < OVERTAKEN {
                break word;
            }
            pause();
        };
        let current = word & SLOT;
        match new {
            Some(new) => {
                let mut other = self.own_slot(current ^ 1).write();
                *other = Some(new);
                // Still held: who sees the new object before others see that it is current?
                self.word.fetch_xor(SLOT, Ordering::AcqRel);
            }
            None => {
                self.word.fetch_or(CLOSED, Ordering::AcqRel);
            }
        }
        // Waits for whoever is taking a reference there.
        let old = self.own_slot(current).write().take();
        drop(writing);
        old
    }
}

/// A pointer that always points to something.
pub(crate) struct Published<T>(Pointer<T>);

impl<T> Published<T> {
    pub(crate) fn new(value: Arc<T>) -> Published<T> {
        Published(Pointer::new(Some(value)))
    }

    /// Takes a reference to what is published now.
    pub(crate) fn read(&self) -> Arc<T> {
        match self.0.read() {
            Some(value) => value,
            None => unreachable!("it is never closed"),
        }
    }

    /// Looks at what is published now, which is kept no longer than that.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.read())
    }

    /// Publishes `new` and returns what it replaced.
    pub(crate) fn assign(&self, new: Arc<T>) -> Arc<T> {
        match self.0.replace(Some(new)) {
            Some(old) => old,
            None => unreachable!("it is never empty"),
        }
    }
}

/// A pointer that one day points to nothing, and then for ever: `task->nsproxy`, until exit.
pub(crate) struct PublishedOption<T>(Pointer<T>);

impl<T> PublishedOption<T> {
    pub(crate) fn new(value: Option<Arc<T>>) -> PublishedOption<T> {
        PublishedOption(Pointer::new(value))
    }

    /// Takes a reference to what is published now.
    pub(crate) fn read(&self) -> Option<Arc<T>> {
        self.0.read()
    }

    /// Publishes `new` and returns what it replaced. Where nothing is published, nothing will be:
    /// then it hands back `new`.
    pub(crate) fn assign(&self, new: Option<Arc<T>>) -> Option<Arc<T>> {
        self.0.replace(new)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_was_published_is_read_and_handed_back() {
        let pointer = Published::new(Arc::new(1));
        assert_eq!(*pointer.read(), 1);
        assert_eq!(*pointer.assign(Arc::new(2)), 1);
        assert_eq!(*pointer.assign(Arc::new(3)), 2);
        assert_eq!(pointer.with(|value| *value), 3);
    }

    #[test]
    fn nothing_stays_nothing() {
        let pointer = PublishedOption::new(Some(Arc::new(1)));
        assert_eq!(pointer.assign(None).as_deref(), Some(&1));
        assert_eq!(pointer.read(), None);
        assert_eq!(pointer.assign(Some(Arc::new(2))).as_deref(), Some(&2));
        assert_eq!(pointer.read(), None);
        assert_eq!(PublishedOption::<u8>::new(None).read(), None);
    }

    #[test]
    fn an_old_object_dies_with_its_last_reader() {
        let pointer = Published::new(Arc::new(1));
        let reader = pointer.read();
        let old = pointer.assign(Arc::new(2));
        assert_eq!(Arc::strong_count(&reader), 2);
        drop(old);
        assert_eq!(Arc::strong_count(&reader), 1);
    }

    /// A writer that stands still holds one slot; the other one is free and full.
    #[test]
    fn readers_go_past_a_writer_that_stands_still() {
        let pointer = Published::new(Arc::new(1));
        let filling = pointer.0.own_slot(1).write();
        assert_eq!(*pointer.read(), 1);
        pointer.0.word.fetch_xor(SLOT, Ordering::AcqRel);
        assert_eq!(*pointer.read(), 1, "nobody has seen the new one yet");
        drop(filling);
    }
}

/// Every interleaving of readers and writers of one pointer.
#[cfg(all(test, loom))]
mod tests {
    use super::*;
    use loom::thread;

    /// Feared: a reader meets an emptied slot and gives up, reads an object before it is published,
    /// or sees the old one after it has seen the new one.
    #[test]
    fn a_reader_sees_what_is_published_in_order() {
        loom::model(|| {
            let pointer = Arc::new(Published::new(Arc::new(0)));
            let writer = {
                let pointer = Arc::clone(&pointer);
                thread::spawn(move || {
                    for value in 1..=2 {
                        assert_eq!(*pointer.assign(Arc::new(value)), value - 1);
                    }
                })
            };
            let (first, second) = (*pointer.read(), *pointer.read());
            assert!(first <= second);
            writer.join().unwrap();
            assert_eq!(*pointer.read(), 2);
        });
    }

    /// Feared: two readers disagree about the order.
    #[test]
    fn what_one_has_seen_is_not_unseen_by_another() {
        loom::model(|| {
            let pointer = Arc::new(Published::new(Arc::new(0)));
            let seen = Arc::new(AtomicU32::new(0));
            let reader = {
                let (pointer, seen) = (Arc::clone(&pointer), Arc::clone(&seen));
                thread::spawn(move || seen.store(*pointer.read(), Ordering::Release))
            };
            let writer = {
                let pointer = Arc::clone(&pointer);
                thread::spawn(move || drop(pointer.assign(Arc::new(1))))
            };
            let before = seen.load(Ordering::Acquire);
            assert!(*pointer.read() >= before);
            reader.join().unwrap();
            writer.join().unwrap();
        });
    }

    /// Feared: two writers hand back the same object, or lose one.
    #[test]
    fn writers_hand_back_each_object_once() {
        loom::model(|| {
            let pointer = Arc::new(Published::new(Arc::new(0)));
            let other = {
                let pointer = Arc::clone(&pointer);
                thread::spawn(move || *pointer.assign(Arc::new(1)))
            };
            let here = *pointer.assign(Arc::new(2));
            let mut all = [here, other.join().unwrap(), *pointer.read()];
            all.sort();
            assert_eq!(all, [0, 1, 2]);
        });
    }

    /// Feared: a reader takes an emptied slot for nothing, or waits for ever for what is closed.
    #[test]
    fn nothing_comes_last() {
        loom::model(|| {
            let pointer = Arc::new(PublishedOption::new(Some(Arc::new(0))));
            let writer = {
                let pointer = Arc::clone(&pointer);
                thread::spawn(move || {
                    assert_eq!(pointer.assign(Some(Arc::new(1))).as_deref(), Some(&0));
                    assert_eq!(pointer.assign(None).as_deref(), Some(&1));
                })
            };
            let order = |value: Option<Arc<u32>>| value.map_or(2, |value| *value);
            let (first, second) = (order(pointer.read()), order(pointer.read()));
            assert!(first <= second);
            writer.join().unwrap();
            assert!(pointer.read().is_none());
        });
    }
}
