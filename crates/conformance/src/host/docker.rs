//! The host that answers as Docker's default seccomp profile does.
//!
//! The profile is data (`data/docker-default.txt`): what it allows, on which condition, and what
//! everything else gives. A list of the calls that we happen to serve would not do: the point of
//! this host is that it was not made by us.

use anyns_trap::raw::{self, Instruction};

const PROFILE: &str = include_str!("../../data/docker-default.txt");

/// Puts the profile's filter on the process, which must have `no_new_privs` or be root.
///
/// If it is not to refuse, the filter is the same program with permission in the place of every
/// refusal: what a filter costs, and nothing else.
pub(super) fn enter(refuses: bool) -> Result<(), String> {
    let failed = |errno: raw::Errno| format!("cannot make the docker host: {errno}");
    raw::cred_option(raw::CredOption::SetNoNewPrivs, [1, 0, 0, 0]).map_err(failed)?;
    let mut program = compile(&parse(PROFILE)?);
    if !refuses {
        let refusals = program.iter_mut().filter(|one| one.code == RETURN);
        refusals.for_each(|one| one.k = ALLOW);
    }
    raw::install_filter(&program).map_err(failed)
}

/// What a call may do.
#[derive(Debug, PartialEq, Eq)]
enum Rule {
    Allow(u32),
    Errno(u32, u32),
    When { nr: u32, arg: u32, test: Test },
}

/// A condition on one argument.
#[derive(Debug, PartialEq, Eq)]
enum Test {
    Below(u32),
    Equals(u32),
    NoneOf(u32),
}

#[derive(Debug)]
struct Profile {
    default: u32,
    rules: Vec<Rule>,
}

fn parse(text: &str) -> Result<Profile, String> {
    let number = |word: &str| crate::lang::number(word).map(|n| n as u32);
    let call = |word: &str| number(word.split_once('=').map_or("", |(_, nr)| nr));
    let mut profile = Profile { default: 1, rules: Vec::new() };
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [word, ..] if word.starts_with('#') => {}
            ["default", errno] => profile.default = number(errno)?,
            ["errno", errno, name] => profile.rules.push(Rule::Errno(call(name)?, number(errno)?)),
            ["allow", names @ ..] => {
                for name in names {
                    profile.rules.push(Rule::Allow(call(name)?));
                }
            }
            ["when", name, arg, op, value] => {
                let value = number(value)?;
                let test = match *op {
                    "lt" => Test::Below(value),
                    "eq" => Test::Equals(value),
                    "none" => Test::NoneOf(value),
                    _ => return Err(format!("docker-default.txt: there is no test {op}")),
                };
                profile.rules.push(Rule::When { nr: call(name)?, arg: number(arg)?, test });
            }
            _ => return Err(format!("docker-default.txt: cannot read: {line}")),
        }
    }
    Ok(profile)
}

// Classic BPF, as seccomp allows it.
const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const ABOVE_OR_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const ANY_OF: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K
const NR: u32 = 0;
const ARCH: u32 = 4;
const ARGS: u32 = 16;
const X86_64: u32 = 0xc000_003e;
const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const ENOSYS: u32 = 38;

fn op(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

fn compile(profile: &Profile) -> Vec<Instruction> {
    let mut program = vec![
        op(LOAD, ARCH, 0, 0),
        op(EQUAL, X86_64, 1, 0),
        op(RETURN, ERRNO | ENOSYS, 0, 0),
        op(LOAD, NR, 0, 0),
    ];
    for rule in &profile.rules {
        match rule {
            Rule::Allow(nr) => program.extend([op(EQUAL, *nr, 0, 1), op(RETURN, ALLOW, 0, 0)]),
            Rule::Errno(nr, errno) => {
                program.extend([op(EQUAL, *nr, 0, 1), op(RETURN, ERRNO | errno, 0, 0)]);
            }
            Rule::When { nr, arg, test } => program.extend(condition(*nr, *arg, test)),
        }
    }
    program.push(op(RETURN, ERRNO | profile.default, 0, 0));
    program
}

/// Allows the call if its argument passes; otherwise goes on with the number loaded again.
fn condition(nr: u32, arg: u32, test: &Test) -> [Instruction; 7] {
    let low = ARGS + 8 * arg;
    let last = match test {
        Test::Below(value) => op(ABOVE_OR_EQUAL, *value, 1, 0),
        Test::Equals(value) => op(EQUAL, *value, 0, 1),
        Test::NoneOf(bits) => op(ANY_OF, *bits, 1, 0),
    };
    // The high half must be zero, except for a mask, which the profile applies to 64 bits whose
    // high half it leaves alone.
    let high =
        if matches!(test, Test::NoneOf(_)) { op(EQUAL, 0, 0, 0) } else { op(EQUAL, 0, 0, 3) };
    [
        op(EQUAL, nr, 0, 6),
        op(LOAD, low + 4, 0, 0),
        high,
        op(LOAD, low, 0, 0),
        last,
        op(RETURN, ALLOW, 0, 0),
        op(LOAD, NR, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would.
    fn judge(program: &[Instruction], nr: u32, args: [u64; 6]) -> u32 {
        let mut data = [nr, X86_64, 0, 0].to_vec();
        data.extend(args.iter().flat_map(|arg| [*arg as u32, (*arg >> 32) as u32]));
        let (mut at, mut value) = (0, 0);
        loop {
            let i = program[at];
            at += 1;
            let jump = match i.code {
                LOAD => {
                    value = data[i.k as usize / 4];
                    continue;
                }
                RETURN => return i.k,
                EQUAL => value == i.k,
                ABOVE_OR_EQUAL => value >= i.k,
                ANY_OF => value & i.k != 0,
                other => panic!("{other}"),
            };
            at += usize::from(if jump { i.jt } else { i.jf });
        }
    }

    #[test]
    fn the_profile_is_answered_as_it_is_written() {
        let profile = parse(PROFILE).unwrap();
        assert!(profile.rules.len() > 330);
        let program = compile(&profile);
        let judge = |nr, arg0| judge(&program, nr, [arg0, 0, 0, 0, 0, 0]);
        let (read, unshare, clone, clone3, socket, personality) = (0, 272, 56, 435, 41, 135);
        assert_eq!(judge(read, 0), ALLOW);
        assert_eq!(judge(unshare, 0), ERRNO | 1);
        assert_eq!(judge(clone, 17), ALLOW);
        assert_eq!(judge(clone, 0x1000_0011), ERRNO | 1);
        assert_eq!(judge(clone3, 0), ERRNO | 38);
        assert_eq!(judge(socket, 2), ALLOW);
        assert_eq!(judge(socket, 38), ERRNO | 1);
        assert_eq!(judge(socket, 43), ALLOW);
        assert_eq!(judge(socket, 1 << 32), ERRNO | 1);
        assert_eq!(judge(personality, 8), ALLOW);
        assert_eq!(judge(personality, 9), ERRNO | 1);
        assert_eq!(judge(0x4000_0000 | 1, 0), ERRNO | 1);
    }
}
