//! Every peer delivers, with small crowds, all that is published, once to each agent; and wrong arguments are told.

use std::{
    io::Write,
    process::{Command, Stdio},
};

const PEERS: &str = env!("CARGO_BIN_EXE_peers");

/// Runs a peer as a child and gives it orders; answers its lines.
fn play(peer: &str, crowd: &str, payload: &str, orders: &[&str]) -> Vec<String> {
    let part = format!(r#"{{"peer":"{peer}","crowd":{crowd},"payload":"{payload}"}}"#);
    let mut child = Command::new(PEERS)
        .args(["--as-peer", &part])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("it is piped");
    for order in orders {
        writeln!(input, "{order}").expect("it listens");
    }
    drop(input);
    let output = child.wait_with_output().expect("it ends with its input");
    assert!(output.status.success(), "{peer}: {}", output.status);
    String::from_utf8(output.stdout).expect("it answers with text").lines().map(str::to_owned).collect()
}

const STREAM: &str = r#"{"publications":20,"window":4}"#;
const LONE: &str = r#"{"publications":2,"window":null}"#;

fn check(peer: &str) {
    for (crowd, deliveries) in [
        (r#"{"topics":1,"agents":7,"first_lane":0}"#, 140),
        (r#"{"topics":10,"agents":4,"first_lane":0}"#, 800),
        (r#"{"topics":1,"agents":1,"first_lane":1}"#, 20),
    ] {
        for payload in ["Copied16", "Shared1024"] {
            // Twice, so that what came too late or too often after the first is found before the second.
            let answers = play(peer, crowd, payload, &[STREAM, LONE, STREAM]);
            assert_eq!(answers.len(), 4, "{peer}, {crowd}: {answers:?}");
            assert_eq!(answers[0], "ready");
            for (answer, deliveries) in answers[1..].iter().zip([deliveries, deliveries / 10, deliveries]) {
                let wanted = format!(r#""deliveries":{deliveries},"#);
                assert!(
                    answer.starts_with(r#"{"Ok":"#) && answer.contains(&wanted),
                    "{peer}, {crowd}: {answer}"
                );
            }
        }
    }
}

macro_rules! each_delivers_everything_once {
    ($($test:ident: $peer:literal,)*) => {
        $(#[test] fn $test() { check($peer); })*

        #[test]
        fn no_peer_is_left_out_above() {
            let tested = [$($peer),*];
            let output = Command::new(PEERS).args(["--only", "no such"]).output().expect("it starts");
            assert_eq!(output.status.code(), Some(2));
            let told = String::from_utf8(output.stderr).expect("it is text");
            assert!(told.contains("no work and no peer has `no such` in its name"), "{told}");
            let (_, names) = told.split_once("peers are: ").expect("it tells which there are");
            let names: Vec<&str> = names.lines().next().expect("a line").split("; ").collect();
            assert_eq!(names, tested);
        }
    };
}

each_delivers_everything_once! {
    phalanx_delivers_everything_once: "phalanx",
    do_send_delivers_everything_once: "actix, do_send",
    actix_broker_delivers_everything_once: "actix-broker",
    ractor_cast_delivers_everything_once: "ractor, cast",
    ractor_port_delivers_everything_once: "ractor, output port",
    ractor_group_delivers_everything_once: "ractor, process group",
    kameo_tell_delivers_everything_once: "kameo, tell",
    kameo_pubsub_delivers_everything_once: "kameo, pub/sub",
    kameo_broker_delivers_everything_once: "kameo, broker",
    xtra_send_delivers_everything_once: "xtra, send",
    xtra_broadcast_delivers_everything_once: "xtra, broadcast",
    tokio_broadcast_delivers_everything_once: "tokio broadcast, two runtimes",
    roaming_broadcast_delivers_everything_once: "tokio broadcast, multi-thread",
    flume_delivers_everything_once: "flume",
    the_floor_delivers_everything_once: "floor: a plain loop",
}

#[test]
fn a_part_that_is_no_part_ends_with_a_fault() {
    let output = Command::new(PEERS).args(["--as-peer", "{}"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: "));
}

#[test]
fn wrong_options_end_with_exit_code_2() {
    for words in [&["--quickly"][..], &["--json"], &["--only", "flume", "--check"], &["--svg", "none/x.svg"]]
    {
        let output = Command::new(PEERS).args(words).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
}
