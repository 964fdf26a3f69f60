//! Rows to instructions.
//!
//! The number space is cut into intervals that share one decision. A balanced tree of `>=`
//! comparisons finds the interval; its leaf is a `return`, or for numbers with argument tests the
//! tests of its rows in order. Offsets of conditional jumps have eight bits, so a far jump goes
//! over an unconditional one, which has 32.

use std::collections::BTreeMap;

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
    let mut by_nr: BTreeMap<u32, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        let nr = u32::try_from(row.nr).expect("a call number is not negative");
        assert!(nr < arch::FOREIGN_NR_FROM, "call number {nr} is of another calling convention");
        by_nr.entry(nr).or_default().push(row);
    }

    let intervals = intervals(&by_nr);
    let tree = tree(&intervals);
    let foreign = ret(Action::Errno(libc::ENOSYS as u16));
    let mut out = vec![
        load(OFF_ARCH),
        jump(JEQ, arch::AUDIT_ARCH, 1, 0),
        foreign,
        load(OFF_NR),
        jump(JGE, arch::FOREIGN_NR_FROM, 0, 1),
        foreign,
    ];
    out.extend(tree);
    out
}

/// Code for all numbers from `start` up to the next interval's start.
struct Interval {
    start: u32,
    code: Vec<Insn>,
}

fn intervals(by_nr: &BTreeMap<u32, Vec<&Row>>) -> Vec<Interval> {
    let allow = vec![ret(Action::Allow)];
    let mut out = vec![Interval { start: 0, code: allow.clone() }];
    let mut push = |start: u32, code: Vec<Insn>| {
        let last = out.last_mut().expect("starts with one interval");
        if last.start == start {
            last.code = code;
        } else if last.code != code {
            out.push(Interval { start, code });
        }
    };
    for (&nr, rows) in by_nr {
        push(nr, decide(rows));
        push(nr + 1, allow.clone());
    }
    // An interval that was first given "allow" and then its own code may equal its neighbour.
    out.dedup_by(|later, earlier| later.code == earlier.code);
    out
}

/// The binary search over `intervals`, leaves included.
fn tree(intervals: &[Interval]) -> Vec<Insn> {
    if let [only] = intervals {
        return only.code.clone();
    }
    let middle = intervals.len() / 2;
    let (left, right) = intervals.split_at(middle);
    let mut out = branch(JGE, right[0].start, tree(left));
    out.extend(tree(right));
    out
}

/// `otherwise` when the comparison fails, else whatever is placed behind it.
fn branch(code: u16, k: u32, otherwise: Vec<Insn>) -> Vec<Insn> {
    let mut out = match u8::try_from(otherwise.len()) {
        Ok(near) => vec![jump(code, k, near, 0)],
        Err(_) => vec![jump(code, k, 0, 1), stmt(JA, otherwise.len() as u32)],
    };
    out.extend(otherwise);
    out
}

/// The rows of one number: first match wins, else allow.
fn decide(rows: &[&Row]) -> Vec<Insn> {
    let mut out = vec![ret(Action::Allow)];
    for row in rows.iter().rev() {
        let mut tests = Vec::new();
        flatten(&row.test, &mut tests);
        if tests.is_empty() {
            out = vec![ret(row.action)];
            continue;
        }
        if out == [ret(row.action)] {
            // Whether it matches or not, the same happens.
            continue;
        }
        // Built from the last test backwards, so that each knows how far the next row is.
        let mut body = vec![ret(row.action)];
        for test in tests.into_iter().rev() {
            body = guarded(test, body);
        }
        body.extend(out);
        out = body;
    }
    out
}

fn flatten<'a>(test: &'a Test, into: &mut Vec<&'a Test>) {
    match test {
        Test::Always => {}
        Test::All(tests) => tests.iter().for_each(|t| flatten(t, into)),
        one => into.push(one),
    }
}

/// `body` when `test` holds, else whatever is placed behind it.
fn guarded(test: &Test, body: Vec<Insn>) -> Vec<Insn> {
    let (code, arg, k, holds_when_true) = match *test {
        Test::Eq { arg, value } => (JEQ, arg, value, true),
        Test::Ne { arg, value } => (JEQ, arg, value, false),
        Test::AnyBits { arg, mask } => (JSET, arg, mask, true),
        Test::Always | Test::All(_) => unreachable!("flattened away"),
    };
    assert!(arg < 6, "a call has six arguments");
    let low_word = if cfg!(target_endian = "big") { 4 } else { 0 };
    let mut out = vec![load(OFF_ARGS + 8 * u32::from(arg) + low_word)];
    match (u8::try_from(body.len()), holds_when_true) {
        (Ok(over), true) => out.push(jump(code, k, 0, over)),
        (Ok(over), false) => out.push(jump(code, k, over, 0)),
        (Err(_), holds) => {
            let (jt, jf) = if holds { (1, 0) } else { (0, 1) };
            out.extend([jump(code, k, jt, jf), stmt(JA, body.len() as u32)]);
        }
    }
    out.extend(body);
    out
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
