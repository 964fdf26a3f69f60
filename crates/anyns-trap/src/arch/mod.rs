//! What differs between processor architectures; one file each.
//!
//! Every file gives the same names: [`AUDIT_ARCH`], [`FOREIGN_NR_FROM`], [`NO_CALL`] and [`Regs`].

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(not(target_arch = "x86_64"))]
compile_error!("anyns-trap runs on x86-64 only for now: add src/arch/<this architecture>.rs");
