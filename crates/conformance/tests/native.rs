//! Every scenario on the real kernel. Needs root and a kernel that grants namespaces.

mod common;

use conformance::native::Executor;
use conformance::suite::run_all;

#[test]
fn the_kernel_does_what_the_scenarios_say() {
    let native = Executor::native(&common::programs());
    let scenarios = common::scenarios_for(&native);
    run_all(&scenarios, "native", &|scenario| native.run(scenario))
        .unwrap_or_else(|r| panic!("{r}"));
}
