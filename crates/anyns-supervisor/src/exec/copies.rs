//! Private copies of programs whose interpreter is another file in the guest's view than on the host.
//!
//! The kernel runs the copy, which names as its interpreter a descriptor that the guest is given for
//! that moment; so it is the very file that was looked up. Everything else is as it is natively. What
//! shows the copy's name is seen to by whoever shows it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;

use super::elf::Interpreter;
use super::home::Home;
use crate::maps::HashMap;

/// So many bytes of copies are kept.
const BYTES_MAX: u64 = 512 << 20;
/// What is larger is not copied.
const PROGRAM_MAX: u64 = 256 << 20;

/// What a copy was made of, for what interpreter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    file: (u64, u64),
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
    interpreter: Vec<u8>,
}

/// A copy.
#[derive(Debug)]
pub(super) struct Copy {
    /// What its file is known by.
    pub(super) identity: (u64, u64),
    /// Its path on the host.
    pub(super) path: Vec<u8>,
    size: u64,
}

/// The copies there are.
#[derive(Debug, Default)]
pub(super) struct Copies {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The last used is the last.
    copies: Vec<(Key, Arc<Copy>)>,
    /// What they are copies of, by what they are known by; also of those that are gone, since they may
    /// still run.
    originals: HashMap<(u64, u64), Arc<OwnedFd>>,
    bytes: u64,
    made: u64,
}

impl Copies {
    /// A copy of `program` that names `interpreter` in the place of the one it `asks` for.
    ///
    /// # Errors
    /// ENOMEM if it is too large; those of the file system.
    pub(super) fn of(
        &self,
        home: &Home,
        program: (&OwnedFd, &OwnedFd, &Stat),
        asks: &Interpreter,
        interpreter: &[u8],
    ) -> Result<Arc<Copy>, Errno> {
        let (at, file, stat) = program;
        let key = Key {
            file: (stat.st_dev, stat.st_ino),
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime, stat.st_ctime_nsec as i64),
            interpreter: interpreter.to_vec(),
        };
        let number = {
            let mut known = self.known.lock();
            if let Some(place) = known.copies.iter().position(|(of, _)| *of == key) {
                let found = known.copies.remove(place);
                known.copies.push(found.clone());
                return Ok(found.1);
            }
            known.made += 1;
            known.made
        };
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size > PROGRAM_MAX {
            return Err(Errno::NOMEM);
        }
        let copy = Arc::new(make(home, number, file, size, asks, interpreter)?);
        let at = at.try_clone().map_err(|_| Errno::MFILE)?;
        let mut known = self.known.lock();
        known.originals.insert(copy.identity, Arc::new(at));
        known.bytes += copy.size;
        known.copies.push((key, copy.clone()));
        while known.bytes > BYTES_MAX && known.copies.len() > 1 {
            let (_, oldest) = known.copies.remove(0);
            known.bytes -= oldest.size;
            home.remove(&oldest.path);
        }
        Ok(copy)
    }

    /// What a file is a copy of.
    pub(super) fn original(&self, identity: (u64, u64)) -> Option<Arc<OwnedFd>> {
        let known = self.known.lock();
        known.originals.get(&identity).cloned()
    }
}

fn make(
    home: &Home,
    number: u64,
    from: &OwnedFd,
    size: u64,
    asks: &Interpreter,
    interpreter: &[u8],
) -> Result<Copy, Errno> {
    let name = format!("c{number}");
    let to = home.create(&name, OFlags::WRONLY)?;
    let filled = fill(&to, from, size).and_then(|()| patch(&to, size, asks, interpreter));
    if let Err(errno) = filled {
        home.remove(&home.path_of(&name));
        return Err(errno);
    }
    rustix::fs::fchmod(&to, Mode::RWXU)?;
    let stat = rustix::fs::fstat(&to)?;
    let size = u64::try_from(stat.st_size).unwrap_or(size);
    // Nobody may have it open for writing when it is executed.
    drop(to);
    Ok(Copy { identity: (stat.st_dev, stat.st_ino), path: home.path_of(&name), size })
}

fn fill(to: &OwnedFd, from: &OwnedFd, size: u64) -> Result<(), Errno> {
    let mut at = 0;
    while at < size {
        let most = usize::try_from(size - at).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::sendfile(to, from, Some(&mut at), most) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Puts another interpreter into a program.
fn patch(to: impl AsFd, size: u64, asks: &Interpreter, interpreter: &[u8]) -> Result<(), Errno> {
    let text = [interpreter, &[0]].concat();
    if text.len() as u64 <= asks.room {
        return write(&to, &text, asks.offset);
    }
    // There is no room: the name goes behind everything else, and the header says so.
    write(&to, &text, size)?;
    write(&to, &size.to_le_bytes(), asks.header + OFFSET)?;
    let len = (text.len() as u64).to_le_bytes();
    write(&to, &len, asks.header + FILE_SIZE)?;
    write(&to, &len, asks.header + FILE_SIZE + size_of_val(&len) as u64)
}

/// Where in a program header the place in the file is, and the size there, behind which that in memory
/// comes.
const OFFSET: u64 = 8;
const FILE_SIZE: u64 = 32;

fn write(to: impl AsFd, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(&to, bytes, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => (bytes, at) = (&bytes[count..], at + count as u64),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
