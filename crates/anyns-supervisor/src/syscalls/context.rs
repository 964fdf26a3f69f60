//! fsopen(2), fsconfig(2), fsmount(2) and fspick(2): a file system made, or changed, step by step.
//!
//! A context is known by a descriptor of ours, and goes with its last copy.
//! Not decided here: who may; that is `nsproxy`'s. What is behind a file system is `mounts`'.

use std::sync::Arc;

use nsproxy::{Cred, Dentry, FsType, MountFlags, Mounter, Super};
use parking_lot::Mutex;
use rustix::io::Errno;

use super::mount::{concerned, known_type, make};
use super::tree::{Lookup, hand_tree, named};
use crate::cx::{Cx, Met, Served, Verdict};
use crate::descriptors::Given as Thing;
use crate::mounts::Given;
use crate::trouble::Trouble;

/// Longest name of an option, and longest value.
const TEXT_MAX: usize = 256;
/// Longest value that is no text.
const BINARY_MAX: i32 = 1 << 20;
/// Longest name of a type.
const TYPE_MAX: usize = 4096;

const SET_FLAG: u32 = 0;
const SET_STRING: u32 = 1;
const SET_BINARY: u32 = 2;
const SET_PATH: u32 = 3;
const SET_PATH_EMPTY: u32 = 4;
const SET_FD: u32 = 5;
const CREATE: u32 = 6;
const RECONFIGURE: u32 = 7;
const CREATE_EXCL: u32 = 8;

/// `FSOPEN_CLOEXEC`, `FSMOUNT_CLOEXEC`, `FSPICK_CLOEXEC`.
const CLOEXEC: u32 = 1;
const PICK_NOFOLLOW: u32 = 2;
const PICK_NO_AUTOMOUNT: u32 = 4;
const PICK_EMPTY: u32 = 8;

/// A file system on its way.
#[derive(Debug)]
pub(crate) struct Context {
    fs: Option<&'static FsType>,
    cred: Arc<Cred>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    source: Option<String>,
    given: Given,
}

/// How far it is.
#[derive(Clone, Debug, Default)]
enum Phase {
    /// Options are given.
    #[default]
    Options,
    /// It was made, and waits for its mount.
    Made(Arc<Super>, Dentry),
    /// It is mounted; options given now are for its change.
    Mounted(Arc<Super>),
    /// It could not be made.
    Failed,
}

/// Serves `fsopen(type, flags)`.
pub(crate) fn fsopen(cx: &mut Cx<'_>) -> Served {
    let Some(met) = concerned(cx)? else { return Ok(Verdict::Continue) };
    Mounter::of(&met.task, "fsopen")?;
    let flags = cx.arg(1) as u32;
    if flags & !CLOEXEC != 0 {
        return Err(Errno::INVAL.into());
    }
    let name = text(cx, cx.arg(0), TYPE_MAX)?;
    let fs = known_type(name.as_bytes()).ok_or(Errno::NODEV)?;
    let context = Context { fs: Some(fs), cred: met.task.cred(), state: Mutex::default() };
    hand(cx, context, flags)
}

/// Serves `fspick(dirfd, path, flags)`.
pub(crate) fn fspick(cx: &mut Cx<'_>) -> Served {
    let Some(met) = concerned(cx)? else { return Ok(Verdict::Continue) };
    Mounter::of(&met.task, "fspick")?;
    let flags = cx.arg(2) as u32;
    if flags & !(CLOEXEC | PICK_NOFOLLOW | PICK_NO_AUTOMOUNT | PICK_EMPTY) != 0 {
        return Err(Errno::INVAL.into());
    }
    let how = Lookup { follow: flags & PICK_NOFOLLOW == 0, empty: flags & PICK_EMPTY != 0 };
    let found = named(cx, &met, (cx.int(0), cx.arg(1)), how)?.place;
    if found.mount_root() != found {
        return Err(Errno::INVAL.into());
    }
    let sb = found.super_block().ok_or(Errno::INVAL)?;
    let state = State { phase: Phase::Mounted(sb), ..State::default() };
    hand(cx, Context { fs: None, cred: met.task.cred(), state: Mutex::new(state) }, flags)
}

fn hand(cx: &Cx<'_>, context: Context, flags: u32) -> Served {
    let fd = cx.sup.open_namespace(Thing::Context(Arc::new(context)))?;
    Ok(Verdict::Install { fd, cloexec: flags & CLOEXEC != 0 })
}

/// Serves `fsconfig(fd, command, key, value, aux)`.
pub(crate) fn fsconfig(cx: &mut Cx<'_>) -> Served {
    let Some(met) = concerned(cx)? else { return Ok(Verdict::Continue) };
    let (fd, command, aux) = (cx.int(0), cx.arg(1) as u32, cx.int(4));
    let (key, value) = (cx.arg(2), cx.arg(3));
    let (has_key, has_value) = (key != 0, value != 0);
    let fits = match command {
        SET_FLAG => has_key && !has_value && aux == 0,
        SET_STRING => has_key && has_value && aux == 0,
        SET_BINARY => has_key && has_value && aux > 0 && aux <= BINARY_MAX,
        SET_PATH | SET_PATH_EMPTY => has_key && has_value && (aux == libc::AT_FDCWD || aux >= 0),
        SET_FD => has_key && !has_value && aux >= 0,
        CREATE | RECONFIGURE | CREATE_EXCL => !has_key && !has_value && aux == 0,
        _ if fd >= 0 => return Err(Errno::OPNOTSUPP.into()),
        _ => false,
    };
    if fd < 0 || !fits {
        return Err(Errno::INVAL.into());
    }
    let context = context(cx, fd)?;
    match command {
        CREATE | CREATE_EXCL => create(cx, &met, &context, command == CREATE_EXCL)?,
        RECONFIGURE => reconfigure(cx, &met, &context)?,
        _ => {
            let key = text(cx, key, TEXT_MAX)?;
            let value = match command {
                SET_STRING => Some(text(cx, value, TEXT_MAX)?),
                SET_FLAG => None,
                // No type of ours has an option of such a sort.
                _ => return Err(Errno::INVAL.into()),
            };
            set(cx, &context, &key, value.as_deref())?;
        }
    }
    Ok(Verdict::Return(0))
}

fn set(cx: &Cx<'_>, context: &Context, key: &str, value: Option<&str>) -> Result<(), Errno> {
    let mut state = context.state.lock();
    if matches!(state.phase, Phase::Made(..) | Phase::Failed) {
        return Err(Errno::BUSY);
    }
    if key == "source" && matches!(state.phase, Phase::Options) {
        let source = value.ok_or(Errno::INVAL)?;
        if state.source.is_some() {
            return Err(Errno::INVAL);
        }
        state.source = Some(source.to_owned());
        return Ok(());
    }
    let mut given = state.given.clone();
    given.add(key, value)?;
    let kind = match &state.phase {
        Phase::Mounted(sb) => sb.kind().to_owned(),
        _ => context.fs.map_or_else(String::new, |fs| fs.name.to_owned()),
    };
    cx.sup.mounts.check_options(&kind, &given, &context.cred.user)?;
    state.given = given;
    Ok(())
}

fn create(cx: &Cx<'_>, met: &Met<'_>, context: &Context, alone: bool) -> Result<(), Trouble> {
    let mounter = Mounter::of(&met.task, "fsconfig")?;
    let mut state = context.state.lock();
    if !matches!(state.phase, Phase::Options) {
        return Err(Errno::BUSY.into());
    }
    mounter.may_make(true, context.fs)?;
    let made = make(cx, met, context.fs, &state.given);
    // That there is one already is no success for who wants one of his own.
    let shared = |sb: &Arc<Super>| alone && sb.kind() == "mqueue";
    state.phase = match &made {
        Ok((sb, root)) if !shared(sb) => Phase::Made(sb.clone(), *root),
        _ => Phase::Failed,
    };
    match made {
        Ok((sb, _)) if shared(&sb) => Err(Errno::BUSY.into()),
        other => other.map(drop),
    }
}

fn reconfigure(cx: &Cx<'_>, met: &Met<'_>, context: &Context) -> Result<(), Trouble> {
    let mut state = context.state.lock();
    let Phase::Mounted(sb) = state.phase.clone() else { return Err(Errno::BUSY.into()) };
    if !met.task.cred().has(&sb.owner(), nsproxy::Cap::SYS_ADMIN) {
        return Err(Errno::PERM.into());
    }
    let mut given = std::mem::take(&mut state.given);
    if given.named & libc::MS_RDONLY == 0 && sb.is_readonly() {
        given.flags |= libc::MS_RDONLY;
    }
    cx.sup.mounts.reconfigure(&sb, &given, &context.cred.user)?;
    if given.named & libc::MS_RDONLY != 0 {
        sb.set_readonly(given.is_readonly());
    }
    Ok(())
}

/// Serves `fsmount(fd, flags, attributes)`.
pub(crate) fn fsmount(cx: &mut Cx<'_>) -> Served {
    let Some(met) = concerned(cx)? else { return Ok(Verdict::Continue) };
    let mounter = Mounter::of(&met.task, "fsmount")?;
    let (flags, attributes) = (cx.arg(1) as u32, cx.arg(2) as u32);
    if flags & !CLOEXEC != 0 {
        return Err(Errno::INVAL.into());
    }
    let with = MountFlags::from_attributes(attributes.into()).ok_or(Errno::INVAL)?;
    // Trees whose descriptors are closed count no more.
    cx.settle()?;
    let context = context(cx, cx.int(0))?;
    let mut state = context.state.lock();
    let (sb, root) = match &state.phase {
        Phase::Made(sb, root) => (sb.clone(), *root),
        Phase::Mounted(_) => return Err(Errno::BUSY.into()),
        Phase::Options | Phase::Failed => return Err(Errno::INVAL.into()),
    };
    let source = state.source.clone().unwrap_or_else(|| "none".to_owned());
    let files = &cx.sup.mounts.files();
    let tree = mounter.mount_detached(files, &sb, root, source.as_bytes(), with)?;
    *state = State { phase: Phase::Mounted(sb), ..State::default() };
    drop(state);
    hand_tree(cx, tree, flags & CLOEXEC != 0)
}

/// The context that a descriptor stands for.
fn context(cx: &Cx<'_>, fd: i32) -> Result<Arc<Context>, Trouble> {
    let stat = crate::vfs::stat_descriptor(cx.tid(), fd)?;
    match cx.sup.descriptors.given(&stat) {
        Some(Thing::Context(context)) => Ok(context),
        _ => Err(Errno::INVAL.into()),
    }
}

/// A text of a guest's, which must end within so many bytes.
fn text(cx: &Cx<'_>, address: u64, max: usize) -> Result<String, Trouble> {
    let text = match cx.mem().read_cstr(address, max) {
        Err(anyns_trap::MemError::TooLong) => return Err(Errno::INVAL.into()),
        other => other?,
    };
    Ok(text.into_string().map_err(|_| Errno::INVAL)?)
}
