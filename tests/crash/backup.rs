//! A backup that is made under load has everything that was acknowledged before it was begun.

use std::{path::Path, sync::Arc, time::Duration};

use linkspan_tests::{Http, Server};

use crate::{FIRST_BIG, audit, checks::check_has, journal::World, open_journal, prepare, run_meanwhile};

/// How many events are acknowledged under load before the backup is begun.
const BEFORE: usize = 200;
/// How often it is looked whether they are.
const LOOK: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_has_what_was_acknowledged_before() {
    let mut server = Server::start();
    let world = Arc::new(prepare(Http::new(server.addresses())).await);
    let mut journal = open_journal(&world, 1).await;
    for doors in &mut journal.doors {
        doors.closed_from = FIRST_BIG + 1;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let backups = [folder.path().join("first"), folder.path().join("second")];
    let mut before = Vec::new();
    let commands = backups.clone().map(|backup| {
        let mut command = server.command(&["backup"]);
        command.arg(backup);
        command
    });
    let meanwhile = async {
        for mut command in commands {
            let had = count(&before);
            before = wait_for(&world, had + BEFORE).await;
            let running = tokio::task::spawn_blocking(move || command.output().expect("the program runs"));
            let made = running.await.expect("it ends");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        // The load goes on after it.
        wait_for(&world, count(&before) + BEFORE).await;
    };
    run_meanwhile(&world, journal, &mut server, meanwhile).await;
    audit(&server);

    let mut restored = restore(&world, &server, &backups[1]);
    for (place, event_ids) in before.iter().enumerate() {
        check_has(&world, place, event_ids).await;
    }
    restored.kill();
    audit(&restored);
    let mut first = restore(&world, &server, &backups[0]);
    first.kill();
    audit(&first);
}

fn restore(world: &World, server: &Server, backup: &Path) -> Server {
    let restored = server.start_restored(backup);
    world.http.moved(restored.addresses());
    restored
}

fn count(acknowledged: &[Vec<String>]) -> usize {
    acknowledged.iter().map(Vec::len).sum()
}

/// The acknowledged events of each place, once there are so many.
async fn wait_for(world: &World, number: usize) -> Vec<Vec<String>> {
    loop {
        let mut acknowledged = Vec::new();
        for place in &world.places {
            acknowledged.push(place.acknowledged.lock().await.clone());
        }
        if count(&acknowledged) >= number {
            return acknowledged;
        }
        tokio::time::sleep(LOOK).await;
    }
}
