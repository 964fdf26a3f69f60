//! Paths of cgroups in `/proc`, as they are read in a cgroup namespace: `PID/cgroup`, and the roots of
//! cgroup mounts in `PID/mountinfo`.

use nsproxy::{Arc, CgroupNs, Super};

use super::{Native, read_file, text};
use crate::cgroups::is_hosts;
use crate::cx::Cx;
use crate::mounts::{escaped, plain};
use crate::trouble::Trouble;

/// The reader's namespace, if that is not the host's.
fn reader(cx: &Cx<'_>) -> Option<Arc<CgroupNs>> {
    let ns = cx.guest()?.task.nsproxy()?.cgroup.clone();
    (!is_hosts(&cx.sup.system, &ns)).then_some(ns)
}

/// The text of `PID/cgroup`, if the host's is not the reader's.
pub(super) fn of(cx: &Cx<'_>, tid: i32) -> Result<Option<Vec<u8>>, Trouble> {
    let Some(ns) = reader(cx) else { return Ok(None) };
    let text = read_file(&format!("/proc/{tid}/cgroup"))?;
    Ok(Some(cx.sup.cgroups_seen(&text, Native::read(tid)?.exited, &ns)))
}

/// A `mountinfo` with the roots of cgroup mounts as the reader has them: of the text that is given, or
/// else of the host's. None if nothing is to be changed of the latter.
pub(super) fn roots(
    cx: &Cx<'_>,
    tid: i32,
    text: Option<String>,
) -> Result<Option<String>, Trouble> {
    let Some(ns) = reader(cx) else { return Ok(text) };
    let text = match text {
        Some(text) => text,
        None => text::read(&read_file(&format!("/proc/{tid}/mountinfo"))?).into_owned(),
    };
    let lines = text.split_terminator('\n');
    Ok(Some(lines.map(|line| format!("{}\n", seen(cx, line, &ns))).collect()))
}

/// What a mount of cgroups shows, as the reader calls it; none for other file systems, and in the
/// host's namespace.
pub(crate) fn root_seen(cx: &Cx<'_>, sb: &Super, root: &[u8]) -> Option<Vec<u8>> {
    let hierarchy = cx.sup.mounts.hierarchy(sb.kind(), || sb.options())?;
    Some(cx.sup.cgroup_path(hierarchy, root, &*reader(cx)?))
}

/// One line.
fn seen(cx: &Cx<'_>, line: &str, ns: &CgroupNs) -> String {
    let changed = || {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut words = file_system.split(' ');
        let (kind, _, options) = (words.next()?, words.next()?, words.next()?);
        let hierarchy = cx.sup.mounts.hierarchy(kind, || options.to_owned())?;
        let mut fields: Vec<&str> = mount.split(' ').collect();
        let root = plain(&text::written((*fields.get(3)?).to_owned()));
        let root = escaped(&cx.sup.cgroup_path(hierarchy, &root, ns));
        let root = text::read(&root);
        *fields.get_mut(3)? = &root;
        Some(format!("{} - {file_system}", fields.join(" ")))
    };
    changed().unwrap_or_else(|| line.to_owned())
}
