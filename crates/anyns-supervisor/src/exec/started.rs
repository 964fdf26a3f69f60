//! A program that has just started, before its first instruction: is it the one that was judged, and
//! what it has been told of itself.

use anyns_trap::Execed;
use anyns_trap::record::record;

use super::Start;
use super::elf::Interpreter;

/// The running program is not the one that was judged: somebody exchanged it meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strange;

impl Start {
    /// Compares what runs with what was judged, and puts right what it is told.
    ///
    /// # Errors
    /// [`Strange`]: it must not run.
    pub(crate) fn settle(&self, execed: &Execed) -> Result<(), Strange> {
        let tid = execed.tid();
        let exe = rustix::fs::stat(format!("/proc/{tid}/exe")).map_err(|_| Strange)?;
        if (exe.st_dev, exe.st_ino) != self.identity {
            return Err(Strange);
        }
        let vector = Vector::of(tid.0);
        // Where nothing can be told the program has the host's word for it, which does it no harm.
        if let Some(path) = &self.path
            && let Some(at) = vector.get(libc::AT_EXECFN)
        {
            let mut now = vec![0; path.len()];
            let is_ours = execed.mem().read(at, &mut now).is_ok() && now == *path;
            if is_ours && self.named.len() <= path.len() {
                let _ = execed.mem().write(at, &[self.named.as_slice(), &[0]].concat());
            }
        }
        if let Some(asked) = &self.restore
            && let Some(at) = address(asked, vector.get(libc::AT_PHDR))
        {
            let _ = execed.overwrite(at, &[asked.path.as_slice(), &[0]].concat());
        }
        Ok(())
    }
}

/// Where the interpreter's name lies in a program whose headers are at `headers`.
fn address(asked: &Interpreter, headers: Option<u64>) -> Option<u64> {
    let begins = headers?.checked_sub(asked.headers_at)?;
    Some(begins.wrapping_add(asked.address))
}

/// What the kernel tells a new program (getauxval(3)).
struct Vector(Vec<u8>);

impl Vector {
    fn of(tid: i32) -> Vector {
        Vector(record(&format!("/proc/{tid}/auxv")).unwrap_or_default())
    }

    fn get(&self, wanted: u64) -> Option<u64> {
        let mut words = self
            .0
            .chunks_exact(size_of::<u64>())
            .map(|word| u64::from_ne_bytes(word.try_into().expect("eight bytes")));
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            if key == wanted {
                return Some(value);
            }
        }
        None
    }
}
