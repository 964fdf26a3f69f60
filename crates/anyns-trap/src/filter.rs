//! Which calls are told: rows in, a classic BPF program out.
//!
//! The program first refuses other architectures, then finds the call's number by binary search,
//! and looks at arguments only for numbers whose rows ask for it. Numbers without a row, and
//! numbers decided by the number alone, thus stay in the kernel's per-number cache of allowed
//! calls, where they cost nothing.
//!
//! Not here: loading the program into the kernel (`install`).

mod compile;
pub(crate) use compile::DATA;
#[cfg(test)]
mod evaluate;

use crate::plan::Plan;

/// One line of the table of told calls.
///
/// Several rows may name one number: the first whose test holds wins. A number without a
/// matching row is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The call's number on this architecture.
    pub nr: i64,
    /// The condition on the arguments.
    pub test: Test,
    /// What happens when it holds.
    pub action: Action,
}

/// A condition on a call's arguments; `arg` counts from 0 to 5.
///
/// All tests look at the low 32 bits of an argument only: the kernel's own prototypes take `int`
/// or `unsigned int` there, so the upper half is without meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// Holds for every call.
    Always,
    /// The argument's low word equals `value`.
    Eq {
        /// Which argument.
        arg: u8,
        /// The value compared with.
        value: u32,
    },
    /// The argument's low word differs from `value`.
    Ne {
        /// Which argument.
        arg: u8,
        /// The value compared with.
        value: u32,
    },
    /// At least one bit of `mask` is set in the argument's low word.
    AnyBits {
        /// Which argument.
        arg: u8,
        /// The bits looked for.
        mask: u32,
    },
    /// All of these hold.
    All(Vec<Test>),
}

/// What the kernel does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The supervisor is told and answers.
    Notify,
    /// The caller gets SIGSYS, at whose delivery its tracer answers. Outranks an outer filter's
    /// errno.
    Trap,
    /// The caller stops for its tracer before the call; what an outer filter denies fails unseen.
    Trace,
    /// The call fails with this error number without anybody being told.
    Errno(u16),
    /// The kernel serves the call itself.
    Allow,
}

/// One classic BPF instruction, laid out as the kernel's `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Insn {
    pub(crate) code: u16,
    pub(crate) jt: u8,
    pub(crate) jf: u8,
    pub(crate) k: u32,
}

/// A compiled filter, ready to be installed.
#[derive(Clone)]
pub struct Filter {
    pub(crate) program: Box<[Insn]>,
}

impl Filter {
    /// Compiles `rows`.
    ///
    /// # Panics
    ///
    /// When a row names an argument above 5, a negative number or one of another calling
    /// convention, or when the program exceeds the kernel's 4096 instructions: the table is
    /// written by programmers, not by users.
    pub fn compile(rows: &[Row]) -> Filter {
        Filter { program: compile::program(rows).into_boxed_slice() }
    }

    /// Compiles `rows` after each has been sent the way that `plan` wants.
    ///
    /// # Panics
    ///
    /// As [`Filter::compile`].
    pub fn planned(rows: &[Row], plan: &Plan) -> Filter {
        Filter::compile(&plan.apply(rows))
    }

    /// Whether some calls are told, so that installing it gives a listener.
    pub fn needs_listener(&self) -> bool {
        self.program.iter().any(|i| *i == compile::ret(Action::Notify))
    }

    /// The number of instructions.
    pub fn len(&self) -> usize {
        self.program.len()
    }

    /// Never true: the shortest program still refuses foreign architectures.
    pub fn is_empty(&self) -> bool {
        self.program.is_empty()
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Filter({} instructions)", self.program.len())
    }
}
