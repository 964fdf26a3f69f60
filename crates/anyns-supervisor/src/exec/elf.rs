//! What of an ELF program decides how it is started: its interpreter.
//!
//! Only the headers are read. Everything else about them is the kernel's to judge: it runs the file, or
//! a copy of it.

use std::os::fd::AsFd;

use object::elf::{EM_X86_64, ET_DYN, ET_EXEC, FileHeader64, PT_INTERP, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, elf};
use rustix::io::Errno;

type Header = FileHeader64<LittleEndian>;
type Segment = elf::ProgramHeader64<LittleEndian>;

/// The most bytes of program headers that the kernel reads.
const HEADERS_MAX: usize = 65_536;
/// The longest name of an interpreter, with its final zero.
const NAME_MAX: u64 = 4096;

/// A program, as far as its start depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// None if it is static.
    pub(super) interpreter: Option<Interpreter>,
}

/// The interpreter that a program asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interpreter {
    /// Its path, without the final zero.
    pub(super) path: Vec<u8>,
    /// Where the path is in the file.
    pub(super) offset: u64,
    /// How much room it has there, the final zero included.
    pub(super) room: u64,
    /// Where it comes to lie, counted from where the program begins.
    pub(super) address: u64,
    /// Where its program header is in the file.
    pub(super) header: u64,
    /// Where the program headers come to lie, counted in the same way; 0 if nobody knows.
    pub(super) headers_at: u64,
}

/// Reads the headers of a file that begins with `head`.
///
/// # Errors
/// ENOEXEC if it is no program of this machine's; those of pread(2).
pub(super) fn read(file: impl AsFd, head: &[u8]) -> Result<Program, Errno> {
    let header = Header::parse(head).map_err(|_| Errno::NOEXEC)?;
    let endian = header.endian().map_err(|_| Errno::NOEXEC)?;
    let kind = header.e_type(endian);
    if header.e_machine(endian) != EM_X86_64 || !matches!(kind, ET_EXEC | ET_DYN) {
        return Err(Errno::NOEXEC);
    }
    let count = usize::from(header.e_phnum(endian));
    let size = count * size_of::<Segment>();
    let usual = usize::from(header.e_phentsize(endian)) == size_of::<Segment>();
    if !usual || count == 0 || size > HEADERS_MAX {
        return Err(Errno::NOEXEC);
    }
    let start = header.e_phoff(endian);
    let table = bytes(&file, start, size)?;
    let (all, _) =
        object::slice_from_bytes::<Segment>(&table, count).map_err(|()| Errno::NOEXEC)?;
    let Some(at) = all.iter().position(|one| one.p_type(endian) == PT_INTERP) else {
        return Ok(Program { interpreter: None });
    };
    let one = &all[at];
    let room = one.p_filesz(endian);
    if !(2..=NAME_MAX).contains(&room) {
        return Err(Errno::NOEXEC);
    }
    let text = bytes(&file, one.p_offset(endian), room as usize)?;
    if text.last() != Some(&0) {
        return Err(Errno::NOEXEC);
    }
    // The kernel takes the text for a string, whatever comes behind its first zero.
    let path = text.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    let holds = |load: &&Segment| {
        let from = load.p_offset(endian);
        load.p_type(endian) == PT_LOAD && (from..from + load.p_filesz(endian)).contains(&start)
    };
    let headers_at = all
        .iter()
        .find(holds)
        .map_or(0, |load| load.p_vaddr(endian) + start - load.p_offset(endian));
    Ok(Program {
        interpreter: Some(Interpreter {
            path,
            offset: one.p_offset(endian),
            room,
            address: one.p_vaddr(endian),
            header: start + (at * size_of::<Segment>()) as u64,
            headers_at,
        }),
    })
}

/// Reads so many bytes of a file, all of which have to be there.
fn bytes(file: impl AsFd, from: u64, len: usize) -> Result<Vec<u8>, Errno> {
    let mut all = vec![0; len];
    let mut got = 0;
    while got < len {
        match rustix::io::pread(&file, &mut all[got..], from.saturating_add(got as u64)) {
            Ok(0) => return Err(Errno::NOEXEC),
            Ok(more) => got += more,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    fn read_path(path: &str) -> Result<Program, Errno> {
        let file = File::open(path).expect("a program");
        let mut head = [0; 256];
        let got = file.read_at(&mut head, 0).expect("a head");
        read(&file, &head[..got])
    }

    #[test]
    fn a_program_names_its_interpreter() {
        let program = read_path("/bin/sh").expect("an ELF program");
        let asked = program.interpreter.expect("a dynamic one");
        assert_eq!(asked.path, b"/lib64/ld-linux-x86-64.so.2");
        assert_eq!(asked.room, asked.path.len() as u64 + 1);
        let file = File::open("/bin/sh").unwrap();
        let mut text = vec![0; asked.path.len()];
        file.read_exact_at(&mut text, asked.offset).unwrap();
        assert_eq!(text, asked.path);
        // The same is where it says it is once it runs.
        assert_eq!((asked.headers_at, asked.header % 8), (0x40, 0));
    }

    #[test]
    fn a_loader_has_none() {
        let program = read_path("/lib64/ld-linux-x86-64.so.2").expect("an ELF program");
        assert_eq!(program.interpreter, None);
    }

    #[test]
    fn what_is_none_is_refused() {
        for path in ["/etc/passwd", "/dev/null"] {
            assert_eq!(read_path(path), Err(Errno::NOEXEC), "{path}");
        }
    }
}
