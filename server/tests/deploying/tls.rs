//! TLS of the program's own: certificates by name, renewed without a restart, and what `linkspan check` says of them.

use std::{
    fs,
    io::Read,
    net::TcpStream,
    time::{Duration, Instant},
};

use reqwest::Version;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    certificate::Certificate,
    deployed::{Deployed, FAMILY, PHOTOS, Visitor, config, free_address, json_of, program},
};

/// How long it may take until something is told, before the test fails.
const HANGS: Duration = Duration::from_secs(30);

fn tls(name: &str) -> String {
    format!("tls = {{ certificate = \"{name}.pem\", key = \"{name}.key\" }}")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_platform_shows_its_certificate_on_one_port() {
    let folder = TempDir::new().expect("a folder");
    let photos = Certificate::make(folder.path(), "photos", &[PHOTOS], 30);
    let family = Certificate::make(folder.path(), "family", &[FAMILY], 30);
    let top = "listen.http = \"127.0.0.1:0\"\nlisten.https = \"127.0.0.1:0\"";
    let own = tls("family") + "\nlisten_https = \"127.0.0.1:0\"";
    let server = Deployed::start(folder, &config(top, &tls("photos"), &own), 3);
    let schemes: Vec<_> = server.listening.iter().map(|(scheme, _)| scheme.as_str()).collect();
    assert_eq!(schemes, ["http", "https", "https"]);
    let [plain, shared, own] = [0, 1, 2].map(|at| server.listening[at].1);

    let visitor = Visitor::new(shared, &[&photos, &family], None);
    for host in [PHOTOS, FAMILY] {
        let answer = visitor.get(host, "/.well-known/matrix/client").await;
        assert_eq!(answer.as_ref().map(|answer| answer.version()).ok(), Some(Version::HTTP_11), "{answer:?}");
        assert_eq!(json_of(answer).await["m.homeserver"]["base_url"], visitor.base(host));
    }
    visitor.register(PHOTOS, "anna").await;

    // Each shows its own: who believes in one of them only does not reach the other.
    let of_photos = Visitor::new(shared, &[&photos], None);
    assert!(of_photos.get(PHOTOS, "/_matrix/client/versions").await.is_ok());
    assert!(of_photos.get(FAMILY, "/_matrix/client/versions").await.is_err());
    // There is no certificate for those who ask for no name.
    assert!(visitor.client.get(visitor.base("127.0.0.1") + "/").send().await.is_err());
    // A listener of one platform shows its certificate, and means it, whatever is asked for.
    let at_family = Visitor::new(own, &[&photos, &family], None);
    assert!(at_family.get(FAMILY, "/_matrix/client/versions").await.is_ok());
    assert!(at_family.get(PHOTOS, "/_matrix/client/versions").await.is_err());

    // Plain listeners are as before.
    let url = format!("http://{plain}/.well-known/matrix/client");
    let answer = visitor.client.get(url).header("Host", PHOTOS).send().await;
    assert_eq!(json_of(answer).await["m.homeserver"]["base_url"], format!("http://{PHOTOS}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_without_a_restart() {
    let folder = TempDir::new().expect("a folder");
    let old = Certificate::make(folder.path(), "all", &[PHOTOS, FAMILY], 30);
    let kept = TempDir::new().expect("a folder");
    let before = Certificate { certificate: kept.path().join("old.pem"), key: kept.path().join("old.key") };
    fs::copy(&old.certificate, &before.certificate).expect("it is kept");
    let top = "listen.https = \"127.0.0.1:0\"\n[tls]\ncertificate = \"all.pem\"\nkey = \"all.key\"";
    let server = Deployed::start(folder, &config(top, "", ""), 1);
    let address = server.listening[0].1;
    let path = "/_matrix/client/versions";
    assert!(Visitor::new(address, &[&before], None).get(PHOTOS, path).await.is_ok());

    let hangup = || {
        let id = i32::try_from(server.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(id, Signal::HUP).expect("it runs");
    };
    let wait_for = |words: &str| {
        let begun = Instant::now();
        while !server.log().contains(words) {
            assert!(begun.elapsed() < HANGS, "it is not said that {words}: {}", server.log());
        }
    };
    // What does not fit is not taken.
    fs::write(&old.key, "no key").expect("it is written");
    hangup();
    wait_for("so nothing is changed");
    assert!(Visitor::new(address, &[&before], None).get(PHOTOS, path).await.is_ok());

    let renewed = Certificate::make(server.folder.path(), "all", &[PHOTOS, FAMILY], 60);
    hangup();
    wait_for("a certificate was renewed");
    assert!(Visitor::new(address, &[&renewed], None).get(FAMILY, path).await.is_ok());
    assert!(Visitor::new(address, &[&before], None).get(FAMILY, path).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_comes_changes_and_goes_while_the_server_runs() {
    let folder = TempDir::new().expect("a folder");
    let make = |name| Certificate::make(folder.path(), name, &[PHOTOS, FAMILY], 30);
    let (first, second) = (make("first"), make("second"));
    let (shared, alone) = (free_address(), free_address());
    let plain = format!("listen.http = \"{shared}\"");
    let secure = |name| format!("listen.https = \"{shared}\"\n{}", tls(name));
    let own = tls("first") + &format!("\nlisten_https = \"{alone}\"");
    let server = Deployed::start(folder, &config(&plain, "", ""), 1);
    let shows = async |address, host, made: &Certificate| {
        Visitor::new(address, &[made], None).get(host, "/_matrix/client/versions").await.is_ok()
    };
    let is_plain = async || {
        let url = format!("http://{shared}/_linkspan/health/live");
        let answer = Visitor::new(shared, &[&first], None).client.get(url).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    };
    assert!(is_plain().await && !shows(shared, PHOTOS, &first).await);

    // The address goes from plain HTTP to TLS, and there is another certificate.
    let told = server.reload(&config(&secure("first"), "", "")).expect("it is applied");
    assert!(told.contains(&format!("listening on https://{shared}")), "{told}");
    assert!(!is_plain().await && shows(shared, PHOTOS, &first).await);
    server.reload(&config(&secure("second"), "", "")).expect("it is applied");
    assert!(shows(shared, PHOTOS, &second).await && !shows(shared, PHOTOS, &first).await);

    // With a file that is not there nothing changes.
    let refused = server.reload(&config(&secure("none"), &own, "")).expect_err("there is no such file");
    assert!(refused.contains("none.pem"), "{refused}");
    assert!(shows(shared, PHOTOS, &second).await && !shows(alone, PHOTOS, &first).await);

    // A platform gets a certificate and a listener of its own.
    server.reload(&config(&secure("second"), &own, "")).expect("it is applied");
    for (address, host, made) in
        [(shared, PHOTOS, &first), (shared, FAMILY, &second), (alone, PHOTOS, &first)]
    {
        assert!(shows(address, host, made).await, "{address} {host}");
    }
    assert!(!shows(shared, PHOTOS, &second).await);

    let told = server.reload(&config(&plain, "", "")).expect("it is applied");
    assert!(told.contains(&format!("not listening on https://{alone}")), "{told}");
    assert!(is_plain().await && !shows(alone, PHOTOS, &first).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_agrees_on_nothing_is_let_go() {
    let folder = TempDir::new().expect("a folder");
    let made = Certificate::make(folder.path(), "all", &[PHOTOS, FAMILY], 30);
    let top = "listen.https = \"127.0.0.1:0\"\nlisten.max_connections = 1\n[tls]\ncertificate = \"all.pem\"\nkey = \"all.key\"";
    let server = Deployed::start(folder, &config(top, "", ""), 1);
    let address = server.listening[0].1;
    // Who has said nothing yet gives way to whoever comes.
    let mut silent = TcpStream::connect(address).expect("it listens");
    let visitor = Visitor::new(address, &[&made], None);
    assert!(visitor.get(PHOTOS, "/_matrix/client/versions").await.is_ok());
    silent.set_read_timeout(Some(HANGS)).expect("a limit");
    assert_eq!(silent.read(&mut [0; 1]).expect("it is closed"), 0);
    drop(visitor);
    // And is not waited for.
    let mut silent = TcpStream::connect(address).expect("it listens");
    silent.set_read_timeout(Some(HANGS)).expect("a limit");
    assert_eq!(silent.read(&mut [0; 1]).expect("it is closed"), 0);
}

#[test]
fn check_tells_what_is_wrong_with_certificates() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("linkspan.toml");
    let check = |photos: &str| {
        let text = config("listen.https = \"127.0.0.1:0\"", photos, &tls("family"));
        fs::write(&path, text).expect("the configuration is written");
        let output = program().args(["check", "--config"]).arg(&path).output().expect("the program runs");
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    Certificate::make(folder.path(), "family", &[FAMILY], 30);
    Certificate::make(folder.path(), "photos", &[PHOTOS], 30);
    let (good, said) = check(&tls("photos"));
    assert!(good && !said.contains("[platform.tls]"), "{said}");

    Certificate::make(folder.path(), "soon", &[PHOTOS], 3);
    Certificate::make_expired(folder.path(), "over", PHOTOS);
    fs::write(folder.path().join("empty.pem"), "").expect("it is written");
    fs::write(folder.path().join("empty.key"), "").expect("it is written");
    let mixed = "tls = { certificate = \"photos.pem\", key = \"family.key\" }";
    let keyless = "tls = { certificate = \"photos.pem\", key = \"empty.key\" }";
    for (photos, is_good, words) in [
        (tls("missing"), false, "missing.pem cannot be read"),
        (tls("empty"), false, "empty.pem has no certificate"),
        (keyless.to_owned(), false, "empty.key has no private key"),
        (mixed.to_owned(), false, "cannot be used"),
        (tls("family"), true, "the certificate is not for photos.example"),
        (tls("soon"), true, "expires within a week"),
        (tls("over"), true, "has expired"),
        (String::new(), false, "photos.example has no certificate"),
    ] {
        let (good, said) = check(&photos);
        assert!(good == is_good && said.contains(words), "{words}: {said}");
    }
}
