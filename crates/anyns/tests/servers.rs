//! Servers in a pid and an ipc namespace of their own, with masters, workers and files of numbers.

mod harness;

use harness::Place;
use harness::same::{Scripts, same};

#[test]
fn redis_and_nginx() {
    let all = Scripts {
        name: "servers",
        start: "",
        normal: &[],
        hosted: &[Place::Refused, Place::Confined],
        scripts: &["unshare --map-user=1000 --map-group=1000 -Upfi --kill-child --mount-proc \
                    sh $GUESTS/servers.sh"],
    };
    same(&all, |scratch| {
        scratch.file("servers.sh", include_str!("guests/servers.sh"));
    });
}
