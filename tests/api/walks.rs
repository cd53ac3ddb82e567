//! The walks of docs/guides: what stands there is sent, and the answers are compared with what stands there.

use std::collections::BTreeMap;

use http::Method;
use linkspan_address_book::Address;
use linkspan_platforms::{Email, Identity, Sms};
use serde_json::Value;

use crate::{
    matching::{find, register as register_with_address},
    network::{Answer, Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, encoded},
};

/// What stands for something that does not matter.
const ANYTHING: &str = "…";

/// Three platforms of the three kinds, which send what they need to.
pub(crate) async fn open() -> Network {
    Network::changed(|one| {
        one.email = Some(Email { smtp: "smtp://localhost".into(), from: "robot@example.org".into() });
        one.verify = true;
        one.identity = match one.server_name.as_str() {
            INSTAGRAM => Identity::Handle,
            WHATSAPP => Identity::Phone,
            _ => Identity::Account,
        };
        if one.identity == Identity::Phone {
            one.sms = Some(Sms { gateway: "http://localhost".into(), secret: "a secret".into() });
        }
    })
    .await
}

async fn gerd(network: &Network) -> Client {
    let gerd = register_with_address(network, MESSENGER, "gerd", "gerd@example.org").await;
    name(&gerd, "Gerd Vogel").await;
    gerd
}

async fn name(who: &Client, name: &str) {
    let path = format!("/v3/profile/{}/displayname", who.user_id);
    who.put(&path, serde_json::json!({ "displayname": name })).await.ok();
}

#[tokio::test]
async fn people_with_handles_walk() {
    let network = open().await;
    let gerd = gerd(&network).await;
    let walk = Walk::new(&network, &[("GERD", &gerd.token)]);
    walk.go(include_str!("../../docs/guides/walk-handle.md")).await;
}

#[tokio::test]
async fn people_with_accounts_walk() {
    let network = open().await;
    let hilde = network.register(INSTAGRAM, "hilde").await;
    let walk = Walk::new(&network, &[("HILDE", &hilde.token)]);
    walk.go(include_str!("../../docs/guides/walk-account.md")).await;
}

#[tokio::test]
async fn people_with_numbers_walk() {
    let network = open().await;
    let gerd = gerd(&network).await;
    let walk = Walk::new(&network, &[("GERD", &gerd.token)]);
    walk.go(include_str!("../../docs/guides/walk-phone.md")).await;
}

/// A block of a guide: of what kind it is, and what stands in it.
struct Block<'a> {
    kind: &'a str,
    text: &'a str,
}

fn blocks(guide: &str) -> Vec<Block<'_>> {
    let inside = guide.split("```").skip(1).step_by(2);
    inside
        .map(|block| block.split_once('\n').expect("a block has lines"))
        .map(|(kind, text)| Block { kind, text })
        .collect()
}

/// A head of lines with names and values, and what follows it after an empty line.
struct Letter<'a> {
    head: BTreeMap<&'a str, &'a str>,
    body: &'a str,
}

impl<'a> Letter<'a> {
    fn read(text: &'a str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
        let head = head.lines().filter_map(|line| line.split_once(": ")).collect();
        Self { head, body: body.trim() }
    }

    #[track_caller]
    fn value(&self, name: &str) -> &'a str {
        self.head.get(name).unwrap_or_else(|| panic!("there is no {name:?} in {:?}", self.head))
    }
}

/// Somebody who does what a guide says.
struct Walk {
    network: Network,
    /// What answers gave, by the names in the guide.
    known: BTreeMap<String, String>,
    /// The answer that the guide has not shown yet.
    answer: Option<Answer>,
    mails: usize,
    sms: usize,
}

impl Walk {
    fn new(network: &Network, known: &[(&str, &str)]) -> Self {
        let known = known.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { network: network.clone(), known, answer: None, mails: network.mails.count(), sms: 0 }
    }

    async fn go(mut self, guide: &str) {
        let mut requests = 0;
        for Block { kind, text } in blocks(guide) {
            match kind {
                "http" => {
                    assert!(self.answer.is_none(), "the answer before this is not shown: {text}");
                    requests += 1;
                    self.asks(text).await;
                }
                "json" => {
                    let shown: Value =
                        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
                    let answer = self.answer.take().expect("an answer follows a request");
                    // Registering without anything tells what it takes.
                    let is_refusal = ["errcode", "flows"].iter().any(|key| shown.get(key).is_some());
                    assert_eq!(answer.status.is_success(), !is_refusal, "{text}: {}", answer.json);
                    self.compare(&shown, &answer.json, text);
                }
                "mail" => {
                    let mail = self.network.mails.nth(self.mails).await;
                    self.mails += 1;
                    let letter = Letter::read(text);
                    assert_eq!(
                        (letter.value("To"), letter.value("Subject")),
                        (mail.to.as_str(), mail.subject.as_str())
                    );
                    self.compare_text(letter.body, &mail.text);
                }
                "sms" => {
                    let sms = self.network.sms.nth(self.sms).await;
                    self.sms += 1;
                    let letter = Letter::read(text);
                    assert_eq!(letter.value("To"), sms.to);
                    self.compare_text(letter.body, &sms.text);
                }
                "book" => self.looks_for_friends(text).await,
                kind => panic!("nobody knows what to do with a block of {kind:?}"),
            }
        }
        assert!(self.answer.is_none() && requests > 10, "the guide has been walked to its end");
    }

    /// Sends a request of the guide.
    async fn asks(&mut self, text: &str) {
        let (first, _) = text.split_once('\n').expect("a request has lines");
        let (method, path) = first.split_once(' ').expect("a method and a path");
        let (method, letter) = (method.parse::<Method>().expect("a method"), Letter::read(text));
        if path.starts_with('$') {
            let (status, page) = self.network.browse(method, &self.filled(path, str::to_owned)).await;
            assert!(status.is_success(), "{page}");
            return;
        }
        let token = letter.head.get("Authorization").map(|value| self.token(value));
        let body = (method != Method::GET).then(|| {
            serde_json::from_str(&self.filled(letter.body, str::to_owned))
                .unwrap_or_else(|_| panic!("no JSON: {text}"))
        });
        let path = self.filled(path, encoded);
        let answer = self.network.call(letter.value("Host"), token.as_deref(), method, &path, body).await;
        self.answer = Some(answer);
    }

    fn token(&self, value: &str) -> String {
        self.filled(value.strip_prefix("Bearer ").expect("a bearer token"), str::to_owned)
    }

    /// Matches an address book as an app does, with the library.
    async fn looks_for_friends(&mut self, text: &str) {
        let letter = Letter::read(text);
        let session = serde_json::json!({ "access_token": self.token(letter.value("Authorization")) });
        let user = self.network.client(WHATSAPP, &session);
        let address =
            |text: &str| Address::email(text).or_else(|_| Address::phone_number(text)).expect("an address");
        let lines =
            letter.body.lines().map(|line| line.split_once(" is ").expect("an address, and who it is"));
        let expected: Vec<_> = lines.map(|(book, who)| (address(book), who)).collect();
        let book: Vec<_> = expected.iter().map(|(address, _)| address.clone()).collect();
        let found = find(&user, &book).await;
        for (address, who) in expected {
            let found =
                found.iter().find(|found| found.address == address).map(|found| found.user_id.as_str());
            assert_eq!(found.unwrap_or("not here"), who, "{address:?}");
        }
    }

    /// A text with the names filled in that are known, changed as the place needs it.
    fn filled(&self, text: &str, change: impl Fn(&str) -> String) -> String {
        let mut parts = text.split('$');
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = split_name(part);
            let value =
                self.known.get(name).unwrap_or_else(|| panic!("nothing is known of ${name} in {text}"));
            filled.push_str(&change(value));
            filled.push_str(rest);
        }
        filled
    }

    /// Compares an answer with what is shown of it.
    fn compare(&mut self, shown: &Value, answer: &Value, text: &str) {
        match (shown, answer) {
            (Value::String(shown), Value::String(answer)) => self.compare_text(shown, answer),
            (Value::Object(shown), Value::Object(all)) => {
                for (key, shown) in shown {
                    let value =
                        all.get(key).unwrap_or_else(|| panic!("no {key:?} in {answer}, but in {text}"));
                    self.compare(shown, value, text);
                }
            }
            (Value::Array(shown), Value::Array(all)) if shown.len() == all.len() => {
                shown.iter().zip(all).for_each(|(shown, one)| self.compare(shown, one, text));
            }
            (shown, answer) => assert_eq!(shown, answer, "{text}"),
        }
    }

    /// Compares a text with what is shown of it, and learns the names in it.
    #[track_caller]
    fn compare_text(&mut self, shown: &str, text: &str) {
        let mut rest = text.trim_end();
        let mut parts = shown.split_inclusive(ANYTHING).flat_map(|part| match part.strip_suffix(ANYTHING) {
            Some(before) => vec![before, ANYTHING],
            None => vec![part],
        });
        let mut skips = false;
        for part in parts.by_ref() {
            if part == ANYTHING {
                skips = true;
                continue;
            }
            let at = if skips { rest.find(part).expect("what follows is there") } else { 0 };
            rest = self.begins(part, &rest[at..], (shown, text));
            skips = false;
        }
        assert!(skips || rest.is_empty(), "{shown:?} is not all of {text:?}");
    }

    /// Takes from the beginning of a text what is shown, in which names stand for something.
    #[track_caller]
    fn begins<'t>(&mut self, shown: &str, mut rest: &'t str, (all, text): (&str, &str)) -> &'t str {
        let mut parts = shown.split('$');
        let take = |rest: &'t str, literal: &str| {
            rest.strip_prefix(literal).unwrap_or_else(|| panic!("{all:?} is shown, and not {text:?}"))
        };
        rest = take(rest, parts.next().unwrap_or_default());
        for part in parts {
            let (name, literal) = split_name(part);
            let next = literal.chars().next();
            let end = next.and_then(|next| rest.find(next)).unwrap_or(rest.len());
            let (value, after) = rest.split_at(end);
            let known = self.known.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            assert_eq!(known, value, "${name} in {all:?}");
            rest = take(after, literal);
        }
        rest
    }
}

/// The name at the beginning of a text, and what follows it.
fn split_name(text: &str) -> (&str, &str) {
    let end = text.find(|one: char| !one.is_ascii_uppercase() && one != '_').unwrap_or(text.len());
    text.split_at(end)
}
