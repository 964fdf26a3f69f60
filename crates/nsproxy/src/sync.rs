//! The only file that chooses synchronisation primitives.
//!
//! | build | `Mutex` | `Turn` waits by | `Arc` |
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

pub(crate) use imp::{Mutex, Turn};

#[cfg(all(feature = "std", not(loom)))]
mod imp {
    pub(crate) use parking_lot::Mutex;

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
    pub(crate) use spin::Mutex;

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
    use loom::sync::{Condvar, MutexGuard};

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
