//! The proxies, each as its example configures it.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use reqwest::{StatusCode, Version, header};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    certificate::Certificate,
    deployed::{Deployed, FAMILY, PHOTOS, Visitor, config, free_address, json_of},
};

/// The largest upload of a platform that says nothing else.
const UPLOAD_BYTES: usize = 50 << 20;
/// How long a sync waits: longer than what proxies wait for an answer by themselves.
const LONG_POLL: Duration = Duration::from_secs(61);
/// How long it may take until a proxy listens, before the test fails.
const HANGS: Duration = Duration::from_secs(30);

fn example(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/proxies").join(name);
    fs::read_to_string(path).expect("the example is there")
}

/// An example with something in it replaced, which has to be there.
fn with(example: &str, replaced: &[(&str, &str)]) -> String {
    replaced.iter().fold(example.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not in the example");
        text.replace(from, to)
    })
}

/// A proxy that runs in front of a server. It is ended with the test.
struct Proxy {
    program: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Proxy {
    /// Starts one. None if it is not installed.
    fn start(mut command: Command, address: SocketAddr, folder: &Path) -> Option<Self> {
        let log = File::create(folder.join("proxy-log")).expect("a log");
        let errors = log.try_clone().expect("a second handle");
        let name = command.get_program().to_owned();
        let Ok(program) = command.stdout(log).stderr(errors).stdin(Stdio::null()).spawn() else {
            eprintln!("note: {} is not installed, so its example was not tried", name.display());
            return None;
        };
        let mut proxy = Self { program, address, folder: folder.to_owned() };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = proxy.program.try_wait().expect("it can be asked");
            assert!(ended.is_none() && begun.elapsed() < HANGS, "it does not listen: {}", proxy.log());
            thread::yield_now();
        }
        Some(proxy)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("proxy-log")).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
        if thread::panicking() {
            eprintln!("the proxy: {}", self.log());
        }
    }
}

struct Behind {
    server: Deployed,
    photos: Certificate,
    family: Certificate,
}

impl Behind {
    fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let photos = Certificate::make(folder.path(), "photos", &[PHOTOS, "chat.photos.example"], 30);
        let family = Certificate::make(folder.path(), "family", &[FAMILY], 30);
        let config = config("listen.http = \"127.0.0.1:0\"", "hosts = [\"chat.photos.example\"]", "");
        Self { server: Deployed::start(folder, &config, 1), photos, family }
    }

    fn upstream(&self) -> String {
        self.server.listening[0].1.to_string()
    }

    /// What has to hold of a server behind a proxy.
    async fn check(&self, proxy: &Proxy) {
        let certificates = [&self.photos, &self.family];
        // Clients come from an address that is not the proxy's.
        let from = Some("127.0.0.2".parse().expect("an address"));
        let visitor = Visitor::new(proxy.address, &certificates, from);

        // Each platform tells the address that it was reached by, and speaks HTTP/2.
        for host in [PHOTOS, FAMILY] {
            let answer = visitor.get(host, "/.well-known/matrix/client").await;
            assert_eq!(
                answer.as_ref().map(|answer| answer.version()).ok(),
                Some(Version::HTTP_2),
                "{answer:?}"
            );
            let known = json_of(answer).await;
            assert_eq!(known["m.homeserver"]["base_url"], visitor.base(host), "{known}");
        }

        let anna = visitor.register(PHOTOS, "anna").await;
        let bea = visitor.register(FAMILY, "bea").await;
        let as_anna = Person { visitor: &visitor, host: PHOTOS, token: &anna };
        let as_bea = Person { visitor: &visitor, host: FAMILY, token: &bea };

        // A token is worth nothing on another platform.
        let misplaced = Person { host: FAMILY, ..as_anna };
        let whoami = "/_matrix/client/v3/account/whoami";
        assert_eq!(misplaced.get(whoami).await["errcode"], "M_UNKNOWN_TOKEN");

        // The server knows from where people come, whatever they claim.
        let devices = "/_matrix/client/v3/devices";
        assert_eq!(as_anna.get(devices).await["devices"][0]["last_seen_ip"], "127.0.0.2");
        let claimed = visitor.client.get(visitor.base(PHOTOS) + devices).bearer_auth(&anna);
        let claimed = claimed.header("X-Forwarded-For", "203.0.113.9").header("Forwarded", "for=203.0.113.9");
        assert_eq!(json_of(claimed.send().await).await["devices"][0]["last_seen_ip"], "127.0.0.2");
        assert_eq!(as_anna.get(devices).await["devices"][0]["last_seen_ip"], "127.0.0.2");

        // A room over both platforms, and a sync that waits for long.
        let room = as_anna.post("/_matrix/client/v3/createRoom", &json!({ "preset": "public_chat" })).await;
        let room_id = room["room_id"].as_str().unwrap_or_else(|| panic!("no room: {room}"));
        as_bea.post(&format!("/_matrix/client/v3/join/{room_id}"), &json!({})).await;
        let first = as_bea.get("/_matrix/client/v3/sync").await;
        let since = first["next_batch"].as_str().unwrap_or_else(|| panic!("no token: {first}"));
        let wait = LONG_POLL.as_millis();
        let path = format!("/_matrix/client/v3/sync?since={since}&timeout={wait}");
        let begun = Instant::now();
        let (waited, ()) = tokio::join!(as_bea.get(&path), as_anna.check_uploads());
        assert!(begun.elapsed() >= LONG_POLL, "{waited}");
        let since = waited["next_batch"].as_str().unwrap_or_else(|| panic!("no token: {waited}"));

        // News comes through at once.
        let path = format!("/_matrix/client/v3/sync?since={since}&timeout={wait}");
        let send = format!("/_matrix/client/v3/rooms/{room_id}/send/m.room.message/1");
        let body = json!({ "msgtype": "m.text", "body": "Hello" });
        let begun = Instant::now();
        let (news, sent) = tokio::join!(as_bea.get(&path), as_anna.put(&send, &body));
        assert!(sent["event_id"].is_string(), "{sent}");
        let told = &news["rooms"]["join"][room_id]["timeline"]["events"];
        assert!(
            told.as_array().into_iter().flatten().any(|event| event["event_id"] == sent["event_id"]),
            "{news}"
        );
        assert!(begun.elapsed() < LONG_POLL / 2, "{:?}", begun.elapsed());

        // Whoever asks for a name that nobody has learns nothing.
        let stranger =
            visitor.client.get(visitor.base("127.0.0.1") + "/_matrix/client/versions").send().await;
        assert!(stranger.is_err_and(|error| error.is_connect()), "a name that nobody has is served");
    }
}

#[derive(Clone, Copy)]
struct Person<'a> {
    visitor: &'a Visitor,
    host: &'static str,
    token: &'a str,
}

impl Person<'_> {
    async fn get(self, path: &str) -> Value {
        let request = self.visitor.client.get(self.visitor.base(self.host) + path);
        json_of(request.bearer_auth(self.token).send().await).await
    }

    async fn post(self, path: &str, body: &Value) -> Value {
        let request = self.visitor.client.post(self.visitor.base(self.host) + path);
        json_of(request.bearer_auth(self.token).json(body).send().await).await
    }

    async fn put(self, path: &str, body: &Value) -> Value {
        let request = self.visitor.client.put(self.visitor.base(self.host) + path);
        json_of(request.bearer_auth(self.token).json(body).send().await).await
    }

    /// The largest upload is taken and comes back whole, and a larger one is refused by the server itself.
    async fn check_uploads(self) {
        let upload = |bytes: Vec<u8>| {
            let url = self.visitor.base(self.host) + "/_matrix/media/v3/upload";
            let request = self.visitor.client.post(url).bearer_auth(self.token);
            request.header(header::CONTENT_TYPE, "application/octet-stream").body(bytes).send()
        };
        let file: Vec<u8> = (0..UPLOAD_BYTES).map(|at| (at % 251) as u8).collect();
        let uploaded = json_of(upload(file.clone()).await).await;
        let uri = uploaded["content_uri"].as_str().unwrap_or_else(|| panic!("no URI: {uploaded}"));
        let path = uri.strip_prefix("mxc://").expect("the URI of an upload");
        let url = format!("{}/_matrix/client/v1/media/download/{path}", self.visitor.base(self.host));
        let download = self.visitor.client.get(url).bearer_auth(self.token).send().await.expect("an answer");
        assert!(download.bytes().await.expect("a whole answer") == file, "it has come back changed");

        let refused = upload(vec![0; UPLOAD_BYTES + 1]).await.expect("an answer");
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(json_of(Ok(refused)).await["errcode"], "M_TOO_LARGE");
    }
}

async fn try_nginx() {
    let behind = Behind::start();
    let (address, plain, folder) = (free_address(), free_address(), behind.server.folder.path());
    let listen = format!("listen {address} ssl http2");
    let linkspan = with(
        &example("nginx.conf"),
        &[
            ("    listen [::]:443 ssl http2 default_server;\n", ""),
            ("    listen [::]:443 ssl http2;\n", ""),
            ("    listen [::]:80 default_server;\n", ""),
            ("listen 443 ssl http2", &listen),
            ("listen 80", &format!("listen {plain}")),
            ("127.0.0.1:8008", &behind.upstream()),
            (
                "/etc/letsencrypt/live/photos.example/fullchain.pem",
                &behind.photos.certificate.display().to_string(),
            ),
            ("/etc/letsencrypt/live/photos.example/privkey.pem", &behind.photos.key.display().to_string()),
            (
                "/etc/letsencrypt/live/family.example/fullchain.pem",
                &behind.family.certificate.display().to_string(),
            ),
            ("/etc/letsencrypt/live/family.example/privkey.pem", &behind.family.key.display().to_string()),
        ],
    );
    fs::write(folder.join("site.conf"), linkspan).expect("it is written");
    let own = folder.display();
    let main = format!(
        "daemon off;\nmaster_process off;\npid {own}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n\
         access_log off;\nclient_body_temp_path {own}/body;\nproxy_temp_path {own}/proxy;\n\
         fastcgi_temp_path {own}/fastcgi;\nuwsgi_temp_path {own}/uwsgi;\nscgi_temp_path {own}/scgi;\n\
         include {own}/site.conf;\n}}\n"
    );
    fs::write(folder.join("nginx.conf"), main).expect("it is written");
    let mut command = Command::new("nginx");
    command.arg("-e").arg("stderr").arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
    let Some(proxy) = Proxy::start(command, address, folder) else { return };
    behind.check(&proxy).await;
}

async fn try_caddy() {
    let behind = Behind::start();
    let (address, folder) = (free_address(), behind.server.folder.path());
    let port = address.port();
    let tls = format!("tls {{\n\t\tload {}\n\t}}\n\t", folder.join("certificates").display());
    let site = with(
        &example("Caddyfile"),
        &[
            ("127.0.0.1:8008", &behind.upstream()),
            (
                "photos.example, chat.photos.example, family.example {\n\t",
                &format!(
                    "{{\n\tadmin off\n\thttps_port {port}\n\tauto_https disable_redirects\n\tskip_install_trust\n\
                     \tdefault_bind 127.0.0.1\n}}\nphotos.example, chat.photos.example, family.example {{\n\t{tls}"
                ),
            ),
        ],
    );
    fs::create_dir(folder.join("certificates")).expect("a folder");
    for (name, made) in [("photos", &behind.photos), ("family", &behind.family)] {
        fs::write(folder.join("certificates").join(format!("{name}.pem")), made.joined())
            .expect("it is written");
    }
    fs::write(folder.join("Caddyfile"), site).expect("it is written");
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(folder.join("Caddyfile"));
    command.env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
    let Some(proxy) = Proxy::start(command, address, folder) else { return };
    behind.check(&proxy).await;
}

async fn try_haproxy() {
    let behind = Behind::start();
    let (address, plain, folder) = (free_address(), free_address(), behind.server.folder.path());
    let certificates = folder.join("certificates");
    fs::create_dir(&certificates).expect("a folder");
    for (name, made) in [("photos", &behind.photos), ("family", &behind.family)] {
        fs::write(certificates.join(format!("{name}.pem")), made.joined()).expect("it is written");
    }
    let config = with(
        &example("haproxy.cfg"),
        &[
            ("    bind [::]:80 v6only\n", ""),
            ("    bind [::]:443 v6only ssl crt /etc/haproxy/certificates/ strict-sni alpn h2,http/1.1\n", ""),
            ("bind :80", &format!("bind {plain}")),
            ("bind :443", &format!("bind {address}")),
            ("/etc/haproxy/certificates/", &certificates.display().to_string()),
            ("127.0.0.1:8008", &behind.upstream()),
        ],
    );
    fs::write(folder.join("haproxy.cfg"), config).expect("it is written");
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(folder.join("haproxy.cfg"));
    let Some(proxy) = Proxy::start(command, address, folder) else { return };
    behind.check(&proxy).await;
}

/// All at the same time, because each waits for a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn proxies_pass_everything_on() {
    let tried = [tokio::spawn(try_nginx()), tokio::spawn(try_caddy()), tokio::spawn(try_haproxy())];
    for (tried, proxy) in tried.into_iter().zip(["nginx", "Caddy", "HAProxy"]) {
        assert!(tried.await.is_ok(), "{proxy} does not do what it should");
    }
}
