//! The process that makes a scenario's calls; see `conformance::agent`.

fn main() {
    let args: Vec<String> = std::env::args().collect();
    eprintln!("{}", conformance::agent::main(&args));
    std::process::exit(125);
}
