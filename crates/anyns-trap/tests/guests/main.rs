//! Real guests under a real engine.

mod at_once;
mod basic;
mod births;
mod execs;
mod files;
mod forks;
mod harness;
mod minded;
mod processors;
mod signals;
mod sleeps;
mod untraced;

fn main() {
    harness::main(&[
        basic::CASES,
        at_once::CASES,
        births::CASES,
        forks::CASES,
        untraced::CASES,
        execs::CASES,
        files::CASES,
        signals::CASES,
        minded::CASES,
        sleeps::CASES,
        processors::CASES,
    ]);
}
