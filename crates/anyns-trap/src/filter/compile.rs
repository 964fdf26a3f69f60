//! Rows to instructions.
//!
//! The number space is cut into intervals that share one decision. A balanced tree of `>=`
//! comparisons finds the interval; its leaf is a `return`, or for numbers with argument tests the
//! tests of its rows in order. The shorter the program, the sooner the kernel has compiled it, which
//! every start of a guest waits for: so leaves that say the same are one instruction. Offsets of
//! conditional jumps have eight bits, so the tree is cut into blocks that have their leaves within
//! reach, and a far jump goes over an unconditional one, which has 32.
//!
//! The kernel runs the program once for each number to learn which calls are always allowed, and
//! understands there only what is used here.

use super::{Action, Insn, Row, Test};
use crate::arch;

const LD_W_ABS: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JA: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const JEQ: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JGE: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const JSET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RET: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Offsets into `struct seccomp_data`.
const OFF_NR: u32 = 0;
const OFF_ARCH: u32 = 4;
const OFF_ARGS: u32 = 16;

/// How far a conditional jump goes.
const REACH: usize = u8::MAX as usize;

const MAX_INSTRUCTIONS: usize = 4096;

/// The whole program for `rows`.
pub(super) fn program(rows: &[Row]) -> Vec<Insn> {
    let out = assemble(rows);
    assert!(out.len() <= MAX_INSTRUCTIONS, "filter too long: {} instructions", out.len());
    out
}

#[cfg(test)]
pub(super) fn length(rows: &[Row]) -> usize {
    assemble(rows).len()
}

fn assemble(rows: &[Row]) -> Vec<Insn> {
    let foreign = ret(Action::Errno(libc::ENOSYS as u16));
    let mut out = vec![
        load(OFF_ARCH),
        jump(JEQ, arch::AUDIT_ARCH, 1, 0),
        foreign,
        load(OFF_NR),
        jump(JGE, arch::FOREIGN_NR_FROM, 0, 3),
        jump(JEQ, arch::NO_CALL, 1, 0),
        foreign,
        ret(Action::Allow),
    ];
    tree(&intervals(rows), &mut out);
    out
}

/// What happens to the numbers from `start` up to the next interval's start.
struct Interval {
    start: u32,
    leaf: Leaf,
}

/// Where the search for a number ends.
#[derive(PartialEq)]
enum Leaf {
    /// All calls of these numbers are treated alike.
    Ret(Action),
    /// It depends on arguments.
    Tests(Vec<Insn>),
}

impl Leaf {
    fn emit(&self, out: &mut Vec<Insn>) {
        match self {
            Leaf::Ret(action) => out.push(ret(*action)),
            Leaf::Tests(code) => out.extend_from_slice(code),
        }
    }
}

fn intervals(rows: &[Row]) -> Vec<Interval> {
    let mut rows: Vec<(u32, &Row)> = rows
        .iter()
        .map(|row| {
            let nr = u32::try_from(row.nr).expect("a call number is not negative");
            assert!(
                nr < arch::FOREIGN_NR_FROM,
                "call number {nr} is of another calling convention"
            );
            (nr, row)
        })
        .collect();
    // Stable: the rows of a number stay in order.
    rows.sort_by_key(|(nr, _)| *nr);
    let mut out = vec![Interval { start: 0, leaf: Leaf::Ret(Action::Allow) }];
    let mut push = |start: u32, leaf: Leaf| {
        if out.last().is_some_and(|last| last.start == start) {
            out.pop();
        }
        if out.last().is_none_or(|last| last.leaf != leaf) {
            out.push(Interval { start, leaf });
        }
    };
    for same in rows.chunk_by(|one, other| one.0 == other.0) {
        let nr = same[0].0;
        push(nr, decide(same));
        push(nr + 1, Leaf::Ret(Action::Allow));
    }
    out
}

/// The binary search over `intervals`, leaves included.
fn tree(intervals: &[Interval], out: &mut Vec<Insn>) {
    if let [only] = intervals {
        only.leaf.emit(out);
        return;
    }
    let leaves = Leaves::of(intervals);
    if intervals.len() + leaves.code.len() <= REACH {
        Block::default().emit(intervals, leaves, out);
        return;
    }
    let (left, right) = intervals.split_at(intervals.len() / 2);
    let at = out.len();
    out.extend([jump(JGE, right[0].start, 0, 1), stmt(JA, 0)]);
    tree(left, out);
    out[at + 1].k = (out.len() - at - 2) as u32;
    tree(right, out);
}

/// The leaves of some intervals, each only once.
struct Leaves {
    code: Vec<Insn>,
    /// Where the leaf of each interval begins.
    places: Vec<usize>,
}

impl Leaves {
    fn of(intervals: &[Interval]) -> Leaves {
        let mut leaves = Leaves { code: Vec::new(), places: Vec::with_capacity(intervals.len()) };
        let mut known: Vec<(&Leaf, usize)> = Vec::new();
        for interval in intervals {
            let leaf = &interval.leaf;
            let place = match known.iter().find(|(other, _)| *other == leaf) {
                Some((_, place)) => *place,
                None => {
                    let place = leaves.code.len();
                    leaf.emit(&mut leaves.code);
                    known.push((leaf, place));
                    place
                }
            };
            leaves.places.push(place);
        }
        leaves
    }
}

/// A tree whose leaves are all within reach of its comparisons, and behind them.
#[derive(Default)]
struct Block {
    /// A start of an interval, and where it goes on below that and from there.
    nodes: Vec<(u32, Target, Target)>,
}

#[derive(Clone, Copy, Default)]
enum Target {
    #[default]
    Unset,
    Node(usize),
    Leaf(usize),
}

impl Block {
    fn emit(mut self, intervals: &[Interval], leaves: Leaves, out: &mut Vec<Insn>) {
        self.search(intervals, 0);
        for (index, (start, below, from)) in self.nodes.iter().enumerate() {
            let offset = |target: &Target| {
                let place = match *target {
                    Target::Node(node) => node,
                    Target::Leaf(leaf) => self.nodes.len() + leaves.places[leaf],
                    Target::Unset => unreachable!("every comparison leads on"),
                };
                u8::try_from(place - index - 1).expect("a block is within reach")
            };
            out.push(jump(JGE, *start, offset(from), offset(below)));
        }
        out.extend(leaves.code);
    }

    /// Adds the comparisons for intervals of which the first has this index.
    fn search(&mut self, intervals: &[Interval], first: usize) -> Target {
        if intervals.len() == 1 {
            return Target::Leaf(first);
        }
        let node = self.nodes.len();
        let (left, right) = intervals.split_at(intervals.len() / 2);
        self.nodes.push((right[0].start, Target::Unset, Target::Unset));
        self.nodes[node].1 = self.search(left, first);
        self.nodes[node].2 = self.search(right, first + left.len());
        Target::Node(node)
    }
}

/// The rows of one number: first match wins, else allow.
fn decide(rows: &[(u32, &Row)]) -> Leaf {
    let mut otherwise = Action::Allow;
    let mut kept = Vec::new();
    for (_, row) in rows.iter().rev() {
        let mut tests = Vec::new();
        flatten(&row.test, &mut tests);
        if tests.is_empty() {
            kept.clear();
            otherwise = row.action;
        } else if !kept.is_empty() || row.action != otherwise {
            // If the same happens whether the last row matches or not, it says nothing.
            kept.push((tests, row.action));
        }
    }
    if kept.is_empty() {
        return Leaf::Ret(otherwise);
    }
    kept.reverse();
    let len: usize = kept.iter().map(|(tests, _)| 2 * tests.len() + 1).sum();
    let mut out = Vec::with_capacity(len + 1);
    if len < REACH {
        near(&kept, otherwise, &mut out);
    } else {
        kept.iter().for_each(|(tests, action)| far(tests, *action, &mut out));
        out.push(ret(otherwise));
    }
    Leaf::Tests(out)
}

/// Rows of which the first that matches says what is done, all within reach. An argument is loaded once,
/// and what is done comes once, behind all.
fn near(rows: &[(Vec<&Test>, Action)], otherwise: Action, out: &mut Vec<Insn>) {
    let mut loaded = None;
    // Jumps to be filled in: the instruction, whether it is taken when the comparison holds, and whither.
    let mut matched: Vec<(usize, bool, Action)> = Vec::new();
    for (tests, action) in rows {
        let mut failed: Vec<(usize, bool)> = Vec::new();
        for (index, test) in tests.iter().enumerate() {
            let (code, arg, k, holds) = parts(test);
            if loaded != Some(arg) {
                out.push(load_argument(arg));
                loaded = Some(arg);
            }
            let at = out.len();
            out.push(jump(code, k, 0, 0));
            failed.push((at, !holds));
            if index + 1 == tests.len() {
                matched.push((at, holds, *action));
            }
        }
        let next = out.len();
        for (at, when) in failed {
            aim(&mut out[at], when, next - at - 1);
        }
        let one_argument = tests.windows(2).all(|two| parts(two[0]).1 == parts(two[1]).1);
        loaded = loaded.filter(|_| one_argument);
    }
    let mut rets = vec![(otherwise, out.len())];
    out.push(ret(otherwise));
    for (at, when, action) in matched {
        let place = match rets.iter().find(|(known, _)| *known == action) {
            Some((_, place)) => *place,
            None => {
                rets.push((action, out.len()));
                out.push(ret(action));
                out.len() - 1
            }
        };
        aim(&mut out[at], when, place - at - 1);
    }
}

/// A row of a number that has so many tests that no conditional jump leads over them.
fn far(tests: &[&Test], action: Action, out: &mut Vec<Insn>) {
    let mut failed = Vec::new();
    for test in tests {
        let (code, arg, k, holds) = parts(test);
        out.extend([load_argument(arg), jump(code, k, 0, 0), stmt(JA, 0)]);
        failed.push(out.len() - 1);
        let at = out.len() - 2;
        aim(&mut out[at], holds, 1);
    }
    out.push(ret(action));
    let next = out.len();
    for at in failed {
        out[at].k = (next - at - 1) as u32;
    }
}

/// How a test is made: the comparison, of which argument, with what, and whether it holds if that does.
fn parts(test: &Test) -> (u16, u8, u32, bool) {
    match *test {
        Test::Eq { arg, value } => (JEQ, arg, value, true),
        Test::Ne { arg, value } => (JEQ, arg, value, false),
        Test::AnyBits { arg, mask } => (JSET, arg, mask, true),
        Test::Always | Test::All(_) => unreachable!("flattened away"),
    }
}

fn load_argument(arg: u8) -> Insn {
    assert!(arg < 6, "a call has six arguments");
    let low_word = if cfg!(target_endian = "big") { 4 } else { 0 };
    load(OFF_ARGS + 8 * u32::from(arg) + low_word)
}

/// Says where a conditional jump goes when its test holds, or when it does not.
fn aim(insn: &mut Insn, when: bool, offset: usize) {
    let offset = u8::try_from(offset).expect("a block is within reach");
    *(if when { &mut insn.jt } else { &mut insn.jf }) = offset;
}

fn flatten<'a>(test: &'a Test, into: &mut Vec<&'a Test>) {
    match test {
        Test::Always => {}
        Test::All(tests) => tests.iter().for_each(|t| flatten(t, into)),
        one => into.push(one),
    }
}

fn load(offset: u32) -> Insn {
    stmt(LD_W_ABS, offset)
}

/// What our stops carry, so that they can be told from those of a guest's own filter.
pub(crate) const DATA: u16 = 0xa57e;

pub(super) fn ret(action: Action) -> Insn {
    let value = match action {
        Action::Notify => libc::SECCOMP_RET_USER_NOTIF,
        Action::Trap => libc::SECCOMP_RET_TRAP | u32::from(DATA),
        Action::Trace => libc::SECCOMP_RET_TRACE | u32::from(DATA),
        Action::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
        Action::Allow => libc::SECCOMP_RET_ALLOW,
    };
    stmt(RET, value)
}

fn stmt(code: u16, k: u32) -> Insn {
    Insn { code, jt: 0, jf: 0, k }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Insn {
    Insn { code, jt, jf, k }
}
