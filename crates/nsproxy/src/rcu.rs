//! The published pointer: readers never wait, and never see half of anything.
//!
//! Linux published `task->nsproxy` with RCU from 2.6.24 to 3.16: a reader entered a read section,
//! loaded the pointer, took its reference and left; a writer published the new object and, when
//! its own drop was the last, waited for every reader that might still hold the old one. What
//! that scheme promises is kept here, without its wait and without unsafe code:
//!
//! * [`Published::read`] gives the complete old object or the complete new one.
//! * [`Published::assign`] puts a complete object in place and hands back the old one, so that
//!   the caller drops it *outside* every lock.
//! * The old object dies when the last of {pointer, readers} lets go, exactly once: it is an
//!   `Arc`.
//!
//! Kernel names: `rcu_assign_pointer` is `assign`, `rcu_dereference` is `with`, the reference
//! taken before leaving the section is `read`. There is no `synchronize_rcu`: nobody needs to
//! wait, because the freeing side is whoever comes last.
//!
//! With `std` this is `arc-swap` (reads are wait-free but for a rare fallback); without it, and
//! under loom, a lock held for one reference count.

use crate::sync::Arc;

/// A pointer that always points to something.
pub(crate) struct Published<T>(imp::Always<T>);

impl<T> Published<T> {
    pub(crate) fn new(value: Arc<T>) -> Published<T> {
        Published(imp::Always::new(value))
    }

    /// Takes a reference to what is published now.
    pub(crate) fn read(&self) -> Arc<T> {
        self.0.read()
    }

    /// Looks at what is published now without keeping it.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        self.0.with(look)
    }

    /// Publishes `new` and returns what it replaced.
    pub(crate) fn assign(&self, new: Arc<T>) -> Arc<T> {
        self.0.assign(new)
    }
}

/// A pointer that may point to nothing, as `task->nsproxy` of a task that is exiting.
pub(crate) struct PublishedOption<T>(imp::Maybe<T>);

impl<T> PublishedOption<T> {
    pub(crate) fn new(value: Option<Arc<T>>) -> PublishedOption<T> {
        PublishedOption(imp::Maybe::new(value))
    }

    /// Takes a reference to what is published now.
    pub(crate) fn read(&self) -> Option<Arc<T>> {
        self.0.read()
    }

    /// Publishes `new` and returns what it replaced.
    pub(crate) fn assign(&self, new: Option<Arc<T>>) -> Option<Arc<T>> {
        self.0.assign(new)
    }
}

#[cfg(all(feature = "std", not(loom)))]
mod imp {
    use super::Arc;
    use arc_swap::{ArcSwap, ArcSwapOption};

    pub(super) struct Always<T>(ArcSwap<T>);

    impl<T> Always<T> {
        pub(super) fn new(value: Arc<T>) -> Always<T> {
            Always(ArcSwap::new(value))
        }
        pub(super) fn read(&self) -> Arc<T> {
            self.0.load_full()
        }
        pub(super) fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
            look(&self.0.load())
        }
        pub(super) fn assign(&self, new: Arc<T>) -> Arc<T> {
            self.0.swap(new)
        }
    }

    pub(super) struct Maybe<T>(ArcSwapOption<T>);

    impl<T> Maybe<T> {
        pub(super) fn new(value: Option<Arc<T>>) -> Maybe<T> {
            Maybe(ArcSwapOption::new(value))
        }
        pub(super) fn read(&self) -> Option<Arc<T>> {
            self.0.load_full()
        }
        pub(super) fn assign(&self, new: Option<Arc<T>>) -> Option<Arc<T>> {
            self.0.swap(new)
        }
    }
}

#[cfg(any(not(feature = "std"), loom))]
mod imp {
    use super::Arc;
    use crate::sync::Mutex;

    pub(super) struct Always<T>(Mutex<Arc<T>>);

    impl<T> Always<T> {
        pub(super) fn new(value: Arc<T>) -> Always<T> {
            Always(Mutex::new(value))
        }
        pub(super) fn read(&self) -> Arc<T> {
            Arc::clone(&self.0.lock())
        }
        pub(super) fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
            look(&self.read())
        }
        pub(super) fn assign(&self, new: Arc<T>) -> Arc<T> {
            core::mem::replace(&mut *self.0.lock(), new)
        }
    }

    pub(super) struct Maybe<T>(Mutex<Option<Arc<T>>>);

    impl<T> Maybe<T> {
        pub(super) fn new(value: Option<Arc<T>>) -> Maybe<T> {
            Maybe(Mutex::new(value))
        }
        pub(super) fn read(&self) -> Option<Arc<T>> {
            self.0.lock().clone()
        }
        pub(super) fn assign(&self, new: Option<Arc<T>>) -> Option<Arc<T>> {
            core::mem::replace(&mut *self.0.lock(), new)
        }
    }
}
