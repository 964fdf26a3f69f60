//! landlock_create_ruleset(2), landlock_restrict_self(2).
//!
//! Landlock judges whoever opens a file, and among a guest's own mounts that is anyns, whom no guest's
//! rules bind. So there a guest is told that the kernel has none. Who has restricted itself before is
//! remembered, and all that it makes: as Linux has it, it may not mount; and should its mounts become
//! others than the host's all the same, it finds nothing by a path.

use anyns_trap::Failed;
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};
use crate::trouble::Trouble;

/// Serves `landlock_create_ruleset(attributes, size, flags)`.
pub(crate) fn create_ruleset(cx: &mut Cx<'_>) -> Served {
    absent_among_mounts(cx)?;
    Ok(Verdict::Continue)
}

/// Serves `landlock_restrict_self(ruleset, flags)`.
pub(crate) fn restrict_self(cx: &mut Cx<'_>) -> Served {
    absent_among_mounts(cx)?;
    let guest = cx.meet()?.keep()?;
    match cx.take().let_run(cx.args()) {
        Ok(ran) => {
            if ran.result() == 0 {
                guest.note_landlocked();
            }
            Ok(Verdict::Answered(ran.release()))
        }
        Err(Failed::Untraceable(call)) => {
            // Another guest traces it. Whether it succeeds nobody sees.
            cx.put_back(call);
            guest.note_landlocked();
            Ok(Verdict::Continue)
        }
        Err(failed) => Ok(Verdict::Answered(failed.settle())),
    }
}

fn absent_among_mounts(cx: &Cx<'_>) -> Result<(), Errno> {
    if cx.tree().is_some() { Err(Errno::OPNOTSUPP) } else { Ok(()) }
}

/// Refuses to change what is mounted for who has restricted itself.
///
/// # Errors
/// EPERM.
pub(crate) fn may_mount(cx: &Cx<'_>) -> Result<(), Trouble> {
    if cx.guest().is_some_and(|guest| guest.is_landlocked()) {
        return Err(Errno::PERM.into());
    }
    Ok(())
}
