//! The only file that chooses synchronisation primitives.
//!
//! | build | `Mutex`, `RwLock` | `Turn` waits by | `Arc` |
//! |---|---|---|---|
//! | `std` (default) | `parking_lot` | sleeping | `alloc` |
//! | no `std` | `spin` | spinning | `alloc` |
//! | `--cfg loom` | `loom` | loom's scheduler | `loom` |
//!
//! [`crate::rcu`] builds the published pointer on top of these. `Task` and its thread group use
//! the plain `alloc` `Arc` in every build, because loom has no `Weak`.

#[cfg(not(loom))]
pub use alloc::sync::Arc;
#[cfg(loom)]
pub use loom::sync::Arc;

/// A reference that keeps nothing alive. Nothing that loom explores asks for one, and it has none:
/// there it leads nowhere.
pub(crate) struct Weak<T> {
    #[cfg(not(loom))]
    to: alloc::sync::Weak<T>,
    #[cfg(loom)]
    to: core::marker::PhantomData<fn() -> T>,
}

impl<T> Weak<T> {
    /// Leads to nothing.
    pub(crate) fn new() -> Weak<T> {
        Weak { to: Default::default() }
    }

    /// Leads to `this`.
    #[cfg_attr(loom, expect(unused_variables, reason = "it leads nowhere"))]
    pub(crate) fn of(this: &Arc<T>) -> Weak<T> {
        #[cfg(not(loom))]
        let to = Arc::downgrade(this);
        #[cfg(loom)]
        let to = core::marker::PhantomData;
        Weak { to }
    }

    /// What it leads to, while that lives.
    pub(crate) fn upgrade(&self) -> Option<Arc<T>> {
        #[cfg(not(loom))]
        return self.to.upgrade();
        #[cfg(loom)]
        None
    }
}

pub(crate) use imp::{AtomicU32, Mutex, RwLock, Turn, pause};

pub(crate) use core::sync::atomic::Ordering;

#[cfg(all(feature = "std", not(loom)))]
mod imp {
    pub(crate) use core::sync::atomic::AtomicU32;
    pub(crate) use parking_lot::{Mutex, RwLock};

    /// Lets others get on.
    pub(crate) fn pause() {
        std::thread::yield_now();
    }

    /// A lock whose owner is a value instead of a borrow, so that a prepared change can carry it.
    #[derive(Default)]
    pub(crate) struct Turn {
        taken: Mutex<bool>,
        free: parking_lot::Condvar,
    }

    impl Turn {
        pub(crate) fn take(&self) {
            let mut taken = self.taken.lock();
            while *taken {
                self.free.wait(&mut taken);
            }
            *taken = true;
        }

        /// Takes it if it is free.
        pub(crate) fn try_take(&self) -> bool {
            !core::mem::replace(&mut *self.taken.lock(), true)
        }

        pub(crate) fn give(&self) {
            *self.taken.lock() = false;
            self.free.notify_one();
        }
    }
}

#[cfg(all(not(feature = "std"), not(loom)))]
mod imp {
    pub(crate) use core::hint::spin_loop as pause;
    pub(crate) use core::sync::atomic::AtomicU32;
    pub(crate) use spin::{Mutex, RwLock};

    /// A lock whose owner is a value instead of a borrow, so that a prepared change can carry it.
    #[derive(Default)]
    pub(crate) struct Turn {
        taken: Mutex<bool>,
    }

    impl Turn {
        pub(crate) fn take(&self) {
            loop {
                let mut taken = self.taken.lock();
                if !*taken {
                    *taken = true;
                    return;
                }
                drop(taken);
                core::hint::spin_loop();
            }
        }

        /// Takes it if it is free.
        pub(crate) fn try_take(&self) -> bool {
            !core::mem::replace(&mut *self.taken.lock(), true)
        }

        pub(crate) fn give(&self) {
            *self.taken.lock() = false;
        }
    }
}

#[cfg(loom)]
mod imp {
    pub(crate) use loom::sync::atomic::AtomicU32;
    use loom::sync::{Condvar, MutexGuard, RwLockReadGuard, RwLockWriteGuard};
    pub(crate) use loom::thread::yield_now as pause;

    /// loom's mutex with the signature of the others: loom never poisons.
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            match self.0.lock() {
                Ok(guard) => guard,
                Err(poisoned) => poisoned.into_inner(),
            }
        }
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Mutex<T> {
            Mutex::new(T::default())
        }
    }

    /// loom's lock for readers and writers, likewise.
    pub(crate) struct RwLock<T>(loom::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> RwLock<T> {
            RwLock(loom::sync::RwLock::new(value))
        }

        pub(crate) fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
            self.0.try_read().ok()
        }

        pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
            match self.0.write() {
                Ok(guard) => guard,
                Err(poisoned) => poisoned.into_inner(),
            }
        }
    }

    /// A lock whose owner is a value instead of a borrow, so that a prepared change can carry it.
    pub(crate) struct Turn {
        taken: Mutex<bool>,
        free: Condvar,
    }

    impl Default for Turn {
        fn default() -> Turn {
            Turn { taken: Mutex::new(false), free: Condvar::new() }
        }
    }

    impl Turn {
        pub(crate) fn take(&self) {
            let mut taken = self.taken.lock();
            while *taken {
                taken = match self.free.wait(taken) {
                    Ok(guard) => guard,
                    Err(poisoned) => poisoned.into_inner(),
                };
            }
            *taken = true;
        }

        /// Takes it if it is free.
        pub(crate) fn try_take(&self) -> bool {
            !core::mem::replace(&mut *self.taken.lock(), true)
        }

        pub(crate) fn give(&self) {
            *self.taken.lock() = false;
            self.free.notify_one();
        }
    }
}
