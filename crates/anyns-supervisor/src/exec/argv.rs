//! The arguments of a guest's execve(2), with others in the place of the first.

use anyns_trap::{Call, MemError, Memory};
use rustix::io::Errno;

use super::Start;
use crate::trouble::Trouble;

/// More pointers than any stack has room for.
const POINTERS_MAX: usize = 1 << 20;
/// Pointers read at once.
const CHUNK: usize = 64;
const POINTER: usize = size_of::<u64>();

/// Where a guest finds what it is to execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Argv {
    /// Address of the path.
    pub(crate) path: u64,
    /// Address of the pointers to the arguments.
    pub(crate) argv: u64,
}

impl Argv {
    /// Puts path and arguments where the guest has nothing.
    ///
    /// # Errors
    /// EFAULT, E2BIG.
    pub(crate) fn put(call: &Call, start: &Start, path: &[u8], argv: u64) -> Result<Argv, Trouble> {
        let behind = match start.leading.is_empty() {
            true => Vec::new(),
            false => pointers(&call.mem(), argv)?,
        };
        let block = Block::new(path, &start.leading, behind.get(1..).unwrap_or_default());
        let at = call.scratch_room(block.len())?;
        call.write_scratch(at, &block.bytes(at))?;
        let argv = if start.leading.is_empty() { argv } else { at };
        Ok(Argv { path: at + block.path_at() as u64, argv })
    }
}

/// Reads the pointers of an argument vector; there may be none.
fn pointers(mem: &Memory<'_>, argv: u64) -> Result<Vec<u64>, Trouble> {
    let mut all = Vec::new();
    if argv == 0 {
        return Ok(all);
    }
    let mut bytes = [0; CHUNK * POINTER];
    loop {
        let at = argv.checked_add((all.len() * POINTER) as u64).ok_or(Errno::FAULT)?;
        let got = mem.read_some(at, &mut bytes)? / POINTER * POINTER;
        if got == 0 {
            return Err(MemError::Fault.into());
        }
        for word in bytes[..got].chunks_exact(POINTER) {
            match u64::from_ne_bytes(word.try_into().expect("eight bytes")) {
                0 => return Ok(all),
                pointer => all.push(pointer),
            }
        }
        if all.len() > POINTERS_MAX {
            return Err(Errno::TOOBIG.into());
        }
    }
}

/// Pointers, then the strings of ours that they lead to, then the path.
struct Block<'a> {
    path: &'a [u8],
    leading: &'a [Vec<u8>],
    behind: &'a [u64],
}

impl<'a> Block<'a> {
    fn new(path: &'a [u8], leading: &'a [Vec<u8>], behind: &'a [u64]) -> Block<'a> {
        Block { path, leading, behind }
    }

    fn table_len(&self) -> usize {
        match self.leading.len() {
            0 => 0,
            own => (own + self.behind.len() + 1) * POINTER,
        }
    }

    fn path_at(&self) -> usize {
        self.table_len() + self.leading.iter().map(|text| text.len() + 1).sum::<usize>()
    }

    fn len(&self) -> usize {
        self.path_at() + self.path.len() + 1
    }

    /// Everything, for this address.
    fn bytes(&self, at: u64) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len());
        let mut text_at = at + self.table_len() as u64;
        if !self.leading.is_empty() {
            for text in self.leading {
                all.extend_from_slice(&text_at.to_ne_bytes());
                text_at += text.len() as u64 + 1;
            }
            for pointer in self.behind.iter().chain([&0]) {
                all.extend_from_slice(&pointer.to_ne_bytes());
            }
        }
        for text in self.leading.iter().map(Vec::as_slice).chain([self.path]) {
            all.extend_from_slice(text);
            all.push(0);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_leads_to_its_own_strings() {
        let leading = [b"sh".to_vec(), b"script".to_vec()];
        let block = Block::new(b"/bin/sh", &leading, &[7, 8]);
        let bytes = block.bytes(4096);
        assert_eq!(bytes.len(), block.len());
        let words: Vec<u64> = bytes[..40]
            .chunks(8)
            .map(|word| u64::from_ne_bytes(word.try_into().unwrap()))
            .collect();
        assert_eq!(words, [4096 + 40, 4096 + 43, 7, 8, 0]);
        assert_eq!(&bytes[40..], b"sh\0script\0/bin/sh\0");
        assert_eq!(&bytes[block.path_at()..], b"/bin/sh\0");
        let plain = Block::new(b"/x", &[], &[]);
        assert_eq!((plain.path_at(), plain.bytes(9)), (0, b"/x\0".to_vec()));
    }
}
