//! The generator against a small Matrix server in memory that can be told to lose or double a message or a
//! key. It must notice that, and must find nothing wrong when a server merely shortens its timelines.

mod keys;
mod world;

use std::{process::Output, sync::Arc};

use crate::world::{Fault, World, listen};

/// Runs the generator in a small size against the world, which stands for two platforms.
async fn bench(world: Arc<World>, scenarios: &[&'static str]) -> Output {
    let address = listen(world).await;
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_linkspan-bench"));
    command.args(["run", "--quick", "--seconds", "1", "--pid", &std::process::id().to_string()]);
    for name in ["one.localhost", "two.localhost"] {
        command.args(["--server", &format!("{name}=http://{address}")]);
    }
    for scenario in scenarios {
        command.args(["--only", scenario]);
    }
    tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("no panic")
        .expect("the binary was built")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_server_passes_every_scenario() {
    let output = bench(World::new(Fault::None, 100), &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!said(&output).contains("could not be run"), "{}", said(&output));
    assert!(!said(&output).contains("running soak"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_scenario_runs_when_it_is_named() {
    let output = bench(World::new(Fault::None, 100), &["soak"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("memory gained in a minute"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_message_is_noticed() {
    let output = bench(World::new(Fault::Lose, 100), &["one-to-one"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("1 / 0"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubled_message_is_noticed() {
    let output = bench(World::new(Fault::Double, 100), &["one-to-one"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("0 / 2"), "both members got it twice: {}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_stored_as_two_events_is_noticed() {
    let output = bench(World::new(Fault::StoreTwice, 100), &["one-to-one"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("0 / 2"), "both members got it twice: {}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn short_timelines_are_no_loss() {
    let output = bench(World::new(Fault::None, 1), &["room-10"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("timelines were limited"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_lost_in_a_gap_is_noticed() {
    let output = bench(World::new(Fault::Lose, 1), &["room-10"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("1 / 0"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_handed_out_twice_is_noticed() {
    let output = bench(World::new(Fault::HandOutTwice, 100), &["keys"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("1 / 1 / 0"), "one claim too many: {}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_nobody_gets_is_noticed() {
    let output = bench(World::new(Fault::LoseKey, 100), &["keys"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("599 of 600"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_message_that_cannot_be_read_is_noticed() {
    let output = bench(World::new(Fault::Garble, 100), &["encrypted"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("2 / 0 / 2"), "neither member can read it: {}", said(&output));
}
