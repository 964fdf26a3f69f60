//! Real guests under a real engine.

mod basic;
mod execs;
mod files;
mod forks;
mod harness;
mod processors;
mod signals;
mod untraced;

fn main() {
    harness::main(&[
        basic::CASES,
        forks::CASES,
        untraced::CASES,
        execs::CASES,
        files::CASES,
        signals::CASES,
        processors::CASES,
    ]);
}
