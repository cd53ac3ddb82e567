//! What the repository has for Prometheus and Grafana: whether every query names what a server tells, and whether a real
//! Prometheus that watches a real server answers it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use url::form_urlencoded;

use super::{
    HANGS, Watched,
    exposition::{Family, parse},
    metrics::{ONE, Person, TWO, config, mail_server},
};

/// The labels that Prometheus adds.
const OF_PROMETHEUS: [&str; 2] = ["instance", "job"];

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn dashboard() -> Value {
    let text = fs::read(repository("deploy/grafana/linkspan.json")).expect("the dashboard is there");
    serde_json::from_slice(&text).expect("the dashboard is JSON")
}

/// All queries of the dashboard's panels, with what they are to be called in a legend.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().expect("there are panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    targets.map(|target| (text(&target["expr"]), text(&target["legendFormat"]))).collect()
}

/// The expressions of the rules. They are on one line, or on indented lines after `expr: |`.
fn expressions(rules: &str) -> Vec<String> {
    let mut expressions = Vec::new();
    let mut lines = rules.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(first) = line.trim_start().strip_prefix("expr: ") else { continue };
        if first != "|" {
            expressions.push(first.to_owned());
            continue;
        }
        let depth = |line: &str| line.len() - line.trim_start().len();
        let mut whole = String::new();
        while let Some(next) = lines.next_if(|next| depth(next) > depth(line)) {
            whole.push_str(next);
            whole.push('\n');
        }
        expressions.push(whole);
    }
    expressions
}

/// A server whose people have done a bit of everything that is counted.
fn busy_server() -> Watched {
    let server = Watched::start_as(&config(&mail_server()), |_, command| command);
    let anna = Person::register(&server, ONE, "anna");
    let bea = Person::register(&server, TWO, "bea");
    let room = anna.ask("POST", "/_matrix/client/v3/createRoom", &json!({ "preset": "public_chat" }));
    let room_id = room["room_id"].as_str().expect("there is a room").to_owned();
    bea.ask("POST", &format!("/_matrix/client/v3/join/{room_id}"), &json!({}));
    anna.send(&room_id, "1");
    for txn_id in ["1", "2", "3"] {
        bea.send(&room_id, txn_id);
    }
    anna.ask("GET", "/_matrix/client/v3/sync", &json!({}));
    server
}

/// The names that a server tells samples by, each with the values of its labels.
fn told(server: &Watched) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let metrics = server.metrics();
    let (_, body) = metrics.split_once("\r\n\r\n").expect("a head");
    let mut told = BTreeMap::<_, BTreeMap<_, BTreeSet<_>>>::new();
    for (name, labels, _) in parse(body).into_values().flat_map(|Family { samples, .. }| samples) {
        let known = told.entry(name).or_default();
        for (label, value) in labels {
            known.entry(label).or_default().insert(value);
        }
    }
    told
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Asserts that a query asks for nothing that a server does not tell.
fn check(
    query: &str,
    legend: &str,
    told: &BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
) -> BTreeSet<String> {
    let mut labels: BTreeSet<&str> = OF_PROMETHEUS.into();
    let mut names = BTreeSet::new();
    for (at, _) in query.match_indices("linkspan_").chain(query.match_indices("process_")) {
        if query[..at].ends_with(is_word) || query[..at].ends_with('"') {
            continue;
        }
        let rest = &query[at..];
        let name = rest.split(|c| !is_word(c)).next().unwrap_or_default();
        let known = told.get(name).unwrap_or_else(|| panic!("{name} is not told: {query}"));
        names.insert(name.to_owned());
        labels.extend(known.keys().map(String::as_str));
        let Some(matchers) = rest[name.len()..].strip_prefix('{').and_then(|rest| rest.split('}').next())
        else {
            continue;
        };
        for matcher in matchers.split(',').map(str::trim) {
            let label = matcher.split(|c| !is_word(c)).next().unwrap_or_default();
            if OF_PROMETHEUS.contains(&label) {
                continue;
            }
            let values = known.get(label).unwrap_or_else(|| panic!("{name} has no label {label}: {query}"));
            // What failed and what was refused shows once it has happened; values with a pattern are Prometheus's.
            let literal = matcher[label.len()..].strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"'));
            if let Some(value) = literal.filter(|_| label != "status") {
                assert!(values.contains(value), "{label} of {name} is never {value}: {query}");
            }
        }
    }
    assert!(!names.is_empty(), "it asks for nothing of a server: {query}");
    for (at, by) in query.match_indices(" by (") {
        let listed = query[at + by.len()..].split(')').next().unwrap_or_default();
        for label in listed.split(',').map(str::trim) {
            assert!(labels.contains(label), "no metric has the label {label}: {query}");
        }
    }
    for label in legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()) {
        assert!(labels.contains(label), "no metric has the label {label} of the legend: {query}");
    }
    names
}

#[test]
fn the_alerts_fire_when_they_should() {
    let mut promtool = Command::new("promtool");
    promtool.current_dir(repository("deploy/prometheus")).args(["test", "rules", "alerts_test.yml"]);
    let Ok(output) = promtool.output() else {
        eprintln!("note: there is no promtool here, so the alerts were not tried");
        return;
    };
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// A query with what Grafana puts in the place of its variables.
fn filled_in(query: &str) -> String {
    let filled =
        query.replace("$__rate_interval", "10s").replace("$platform", ".*").replace("$instance", ".*");
    assert!(!filled.contains('$'), "there is another variable: {query}");
    filled
}

/// A Prometheus that asks a server each second.
struct Prometheus {
    program: Child,
    address: String,
}

impl Prometheus {
    /// Starts it. None if it is not installed.
    fn start(server: &Watched) -> Option<Self> {
        let folder = server.folder.path().join("prometheus");
        fs::create_dir(&folder).expect("a folder");
        let rules = repository("deploy/prometheus/alerts.yml");
        let rules = rules.canonicalize().expect("the rules are there");
        // The example, with the server under test instead.
        let example = fs::read_to_string(repository("deploy/prometheus/prometheus.yml")).expect("an example");
        let config = example
            .replace("127.0.0.1:9108", &server.metrics)
            .replace("15s", "1s")
            .replace("- alerts.yml", &format!("- {}", rules.display()));
        fs::write(folder.join("prometheus.yml"), config).expect("it is written");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("it is bound").to_string();
        drop(free);
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"));
        let program = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        Some(Self { program, address })
    }

    /// Asks its API. None while it does not listen.
    fn ask(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        // In HTTP/1.0 the answer comes in one piece.
        write!(stream, "GET /api/v1/{path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// What a query gives, once it gives anything.
    fn query(&self, query: &str) -> Vec<Value> {
        let form = form_urlencoded::Serializer::new(String::new()).append_pair("query", query).finish();
        let begun = Instant::now();
        loop {
            let answer = self.ask(&format!("query?{form}")).unwrap_or_default();
            assert_ne!(answer["status"], "error", "{query}: {answer}");
            if let Some(found) = answer["data"]["result"].as_array().filter(|found| !found.is_empty()) {
                return found.clone();
            }
            assert!(begun.elapsed() < HANGS, "{query} gives nothing: {answer}");
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// The rules, once each was evaluated.
    fn rules(&self) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let answer = self.rules_now();
            if !answer.is_empty() && answer.iter().all(|rule| rule["health"] != "unknown") {
                return answer;
            }
            assert!(begun.elapsed() < HANGS, "not all rules were evaluated: {answer:?}");
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn rules_now(&self) -> Vec<Value> {
        let answer = self.ask("rules").unwrap_or_default();
        let groups = answer["data"]["groups"].as_array().into_iter().flatten();
        groups.flat_map(|group| group["rules"].as_array().into_iter().flatten()).cloned().collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_what_a_server_tells() {
    let server = busy_server();
    let told = told(&server);
    let dashboard = dashboard();
    let queries = queries(&dashboard);
    let mut shown = BTreeSet::new();
    for (query, legend) in &queries {
        shown.extend(check(query, legend, &told));
    }
    let rules = fs::read_to_string(repository("deploy/prometheus/alerts.yml")).expect("the rules are there");
    let expressions = expressions(&rules);
    assert_eq!(expressions.len(), rules.matches("- alert: ").count(), "each alert has an expression");
    for expression in &expressions {
        check(expression, "", &told);
    }
    // A metric that is in no panel is one that nobody sees.
    let stem = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
    };
    let shown: BTreeSet<_> = shown.iter().map(|name| stem(name)).collect();
    let metrics: BTreeSet<_> = told.keys().map(|name| stem(name)).collect();
    let unseen: Vec<_> = metrics.difference(&shown).collect();
    assert_eq!(
        unseen,
        [
            "linkspan_cache_entries",
            "linkspan_store_cache_bytes",
            "linkspan_store_cache_limit_bytes",
            "linkspan_table_rows"
        ]
    );

    let Some(prometheus) = Prometheus::start(&server) else {
        eprintln!("note: there is no Prometheus here, so the queries were not run");
        return;
    };
    for (query, _) in &queries {
        let found = prometheus.query(&filled_in(query));
        assert!(found.iter().all(|series| series["value"].is_array()), "{query}: {found:?}");
    }
    let rules = prometheus.rules();
    assert_eq!(rules.len(), expressions.len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    assert!(!prometheus.query("up{job=\"linkspan\"} == 1").is_empty());
}
