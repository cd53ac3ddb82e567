//! Whatever comes in, the answer is the specification's: never a 5xx, a panic, a hang or a flooded log. Most
//! of the bad input is made from the table of endpoints, by spoiling valid calls.

mod addresses;
mod bodies;
mod events;
mod fuzz;
mod wire;

use linkspan_tests::{
    INSTAGRAM, MESSENGER, Server,
    household::{Household, Town},
    http1::{Answer, Request},
    table::Entry,
};

/// The codes that bad input may get.
const CODES: [&str; 34] = [
    "M_BAD_ALIAS",
    "M_BAD_JSON",
    "M_CANNOT_OVERWRITE_MEDIA",
    "M_DUPLICATE_ANNOTATION",
    "M_FORBIDDEN",
    "M_GUEST_ACCESS_FORBIDDEN",
    "M_APPSERVICE_LOGIN_UNSUPPORTED",
    "M_INVALID_PARAM",
    "M_INVALID_ROOM_STATE",
    "M_INVALID_SIGNATURE",
    "M_INVALID_USERNAME",
    "M_KEY_TOO_LARGE",
    "M_MISSING_PARAM",
    "M_MISSING_TOKEN",
    "M_NOT_FOUND",
    "M_NOT_JSON",
    "M_PROFILE_TOO_LARGE",
    "M_ROOM_IN_USE",
    "M_THREEPID_DENIED",
    "M_TOO_LARGE",
    "M_UNKNOWN",
    "M_UNKNOWN_TOKEN",
    "M_UNRECOGNIZED",
    "M_UNSUPPORTED_ROOM_VERSION",
    "M_USER_IN_USE",
    "M_WEAK_PASSWORD",
    "M_WRONG_ROOM_KEYS_VERSION",
    "M_LIMIT_EXCEEDED",
    "M_THREEPID_AUTH_FAILED",
    "M_THREEPID_MEDIUM_NOT_SUPPORTED",
    "M_UNKNOWN_ACTIVATION_TOKEN",
    "ORG.MATRIX.MSC4140_MAX_DELAY_EXCEEDED",
    "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION",
    "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD",
];

/// The codes of the OAuth RFCs that bad input may get.
const OAUTH_CODES: [&str; 6] = [
    "invalid_client",
    "invalid_client_metadata",
    "invalid_grant",
    "invalid_redirect_uri",
    "invalid_request",
    "unsupported_grant_type",
];

/// A user of carl's platform who is not there.
const NOBODY: &str = "@nobody:messenger.localhost";

/// A user whose valid calls are spoiled.
struct Spoiler {
    server: Server,
    town: Town,
    household: Household,
    failures: Vec<String>,
}

impl Spoiler {
    fn start() -> Self {
        let server = Town::server();
        let town = Town::settle(&server);
        let household = Household::settle(&town);
        Self { server, town, household, failures: Vec::new() }
    }

    /// A valid call of an entry: anna's, or, where only administrators are answered, carl's about somebody who is not
    /// there.
    fn request(&self, entry: &Entry) -> Request {
        let mut request = self.household.request(&self.town, entry);
        if !entry.is_for_operators() {
            return request.by(Some(&self.household.anna.token));
        }
        let target = String::from_utf8(request.target).expect("it is made of text");
        request.target = target.replace(&self.household.anna.user_id, NOBODY).into_bytes();
        request.by(Some(&self.town.carl.token))
    }

    /// Sends what `spoil` makes of a valid call.
    fn ask(&mut self, entry: &Entry, spoil: impl Fn(&mut Request)) -> Answer {
        let platform = if entry.is_for_operators() { MESSENGER } else { INSTAGRAM };
        let mut request = self.request(entry);
        spoil(&mut request);
        let answer = self.town.ask(platform, &request);
        if answer.errcode() != "M_UNKNOWN_TOKEN" {
            return answer;
        }
        // The call was one that ends the session.
        self.household = Household::settle(&self.town);
        let mut request = self.request(entry);
        spoil(&mut request);
        self.town.ask(platform, &request)
    }

    /// Notes a problem if an answer is not well formed, or not as `is_right` wants it.
    fn judge(&mut self, what: &str, answer: &Answer, is_right: impl Fn(&Answer) -> bool) {
        let problem = match problem(answer) {
            Some(problem) => problem,
            None if !is_right(answer) => "is not the right answer".to_owned(),
            None => return,
        };
        let text: String = answer.text().chars().take(200).collect();
        self.failures.push(format!("{what}: {} {problem}: {text}", answer.status));
    }

    fn finish(mut self) {
        let shown: Vec<_> = self.failures.iter().take(60).cloned().collect();
        assert!(shown.is_empty(), "{} failures\n{}\n", self.failures.len(), shown.join("\n"));
        self.server.check_health();
    }
}

/// What is wrong with an answer, whatever was asked. None if it is well formed.
fn problem(answer: &Answer) -> Option<String> {
    if answer.status >= 500 {
        return Some("is the server's fault".to_owned());
    }
    // Bytes that are not HTTP at all are answered without JSON.
    if answer.status < 400 || (answer.status == 431 && answer.body.is_empty()) {
        return None;
    }
    let json = answer.json();
    if answer.status == 401 && json["flows"].is_array() {
        return None;
    }
    if json["error_description"].is_string() {
        let known = json["error"].as_str().is_some_and(|code| OAUTH_CODES.contains(&code));
        let status = if json["error"] == "invalid_client" { 401 } else { 400 };
        return (!known || answer.status != status).then(|| "is no error of the RFCs".to_owned());
    }
    let errcode = json["errcode"].as_str().unwrap_or_default();
    if !CODES.contains(&errcode) || !json["error"].is_string() {
        return Some("is no error of the specification".to_owned());
    }
    None
}

/// A short form of what may be very long.
fn short(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(120)]).into_owned()
}

/// Whether an answer refuses a body as the endpoint's specification wants it. OAuth has a smaller limit.
fn refuses(entry: &Entry, errcodes: &'static [&'static str]) -> impl Fn(&Answer) -> bool {
    let by_rfc = entry.is_oauth();
    move |answer| match by_rfc {
        true if answer.status == 413 => answer.errcode() == "M_TOO_LARGE",
        true => answer.status == 400 && answer.json()["error"] == "invalid_client_metadata",
        false => answer.status == 400 && errcodes.contains(&answer.errcode().as_str()),
    }
}

/// Whether an answer is an error of this status and code.
fn is(status: u16, errcode: &'static str) -> impl Fn(&Answer) -> bool {
    move |answer| (answer.status, answer.errcode().as_str()) == (status, errcode)
}
