//! Every switch, birth, death and refusal, as text or as JSON lines.

use std::io::Write as _;
use std::time::Instant;

use nsproxy::{Event, Events, Ids, Link};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::trouble::Trouble;

/// In which form events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One line of words an event.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where events go.
pub struct Trace {
    format: Format,
    to: Mutex<Box<dyn std::io::Write + Send>>,
    start: Instant,
}

impl Trace {
    /// Writes events to `to`, with times in seconds since now.
    pub fn new(format: Format, to: Box<dyn std::io::Write + Send>) -> Trace {
        Trace { format, to: Mutex::new(to), start: Instant::now() }
    }

    /// Notes trouble of ours that a guest saw as an error of no rule.
    pub(crate) fn host_trouble(&self, tid: i32, call: &str, trouble: &Trouble) {
        let value =
            json!({ "event": "host", "tid": tid, "call": call, "error": trouble.to_string() });
        self.write(&format!("{tid} {call}: host: {trouble}"), value);
    }

    fn write(&self, text: &str, mut value: Value) {
        let seconds = self.start.elapsed().as_secs_f64();
        let line = match self.format {
            Format::Text => format!("{seconds:.6} {text}\n"),
            Format::Json => {
                value["time"] = json!((seconds * 1e6).round() / 1e6);
                format!("{value}\n")
            }
        };
        // A reader that went away must not stop the guests.
        let _ = self.to.lock().write_all(line.as_bytes());
    }
}

impl Events for Trace {
    fn event(&self, event: &Event<'_>) {
        if let Some((text, value)) = describe(event) {
            self.write(&text, value);
        }
    }
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trace").field("format", &self.format).finish_non_exhaustive()
    }
}

fn describe(event: &Event<'_>) -> Option<(String, Value)> {
    Some(match event {
        Event::Created { kind, inode, owner } => (
            format!("created {}:[{inode}] owned by user:[{owner}]", kind.name()),
            json!({ "event": "created", "type": kind.name(), "id": inode, "owner": owner }),
        ),
        Event::Freed { kind, inode } => (
            format!("freed {}:[{inode}]", kind.name()),
            json!({ "event": "freed", "type": kind.name(), "id": inode }),
        ),
        Event::Switched { tag, way, old, new, .. } => (
            format!("{tag} {way}: {}", changes(old, new)),
            json!({ "event": "switched", "tid": tag, "way": way.name(), "old": ids(old), "new": ids(new) }),
        ),
        Event::Refused { tag, call, refusal, .. } => (
            format!("{tag} {call}: refused: {refusal}"),
            json!({
                "event": "refused", "tid": tag, "call": call,
                "rule": refusal.rule.name(), "errno": refusal.errno.to_string(),
                "why": refusal.to_string(),
            }),
        ),
        // Births are the kernel's to trace; ours are about namespaces.
        _ => return None,
    })
}

fn changes(old: &Ids, new: &Ids) -> String {
    let mut parts = Vec::new();
    for link in Link::ALL {
        let (before, after) = (old.get(*link), new.get(*link));
        if before != after {
            let show = |id: Option<u32>| id.map_or("none".to_owned(), |id| format!("[{id}]"));
            parts.push(format!("{link}:{} -> {}", show(before), show(after)));
        }
    }
    parts.join(", ")
}

fn ids(ids: &Ids) -> Value {
    let present = ids.iter().map(|(link, id)| (link.name().to_owned(), json!(id)));
    present.collect::<serde_json::Map<_, _>>().into()
}
