//! The page of the outbox: a column for each platform or, on a phone, one for all, with the newest first.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Message, Sender};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page with these messages, of which the newest is the first.
pub(super) fn page<'a>(senders: &[Sender], messages: impl Iterator<Item = &'a Message>) -> String {
    let messages: Vec<_> = messages.collect();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Outbox of the demo" }
                style { (PreEscaped(STYLE)) }
                noscript { meta http-equiv="refresh" content="5"; }
            }
            body {
                header {
                    h1 { "Outbox" }
                    p { "What the three apps send to phones and by mail. In the demo nothing leaves this machine, \
                         so any number and any address will do." }
                }
                main {
                    @for sender in senders { (column(sender, &messages)) }
                    @if messages.is_empty() { p.empty.all { "Nothing was sent yet. What comes appears here by itself." } }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

fn column(sender: &Sender, messages: &[&Message]) -> Markup {
    let mut own = messages.iter().filter(|message| message.platform == sender.server_name).peekable();
    html! {
        section style=(format!("--colour: {}", sender.colour)) {
            h2 { (sender.style) }
            @if own.peek().is_none() { p.empty { "Nothing was sent yet." } }
            @for message in own { (card(sender, message)) }
        }
    }
}

fn card(sender: &Sender, message: &Message) -> Markup {
    let kind = if message.subject.is_some() { "Mail" } else { "SMS" };
    html! {
        // In one column, the greatest number comes first.
        article style=(format!("order: -{}", message.number + 1)) {
            p.head {
                span.from { (sender.style) }
                span { (kind) " to " b { (message.to) } }
                time data-ts=(message.sent_ts) {}
            }
            @if let Some(subject) = &message.subject { h3 { (subject) } }
            @if let Some(code) = message.code() { p.code { (code) } }
            @for part in message.text.split("\n\n") { p { (linked(part.trim())) } }
        }
    }
}

/// A paragraph, which is a link if it is an address of a page.
fn linked(part: &str) -> Markup {
    let is_link = part.starts_with("http://") || part.starts_with("https://");
    html! {
        @if is_link && !part.contains(char::is_whitespace) {
            a href=(part) target="_blank" rel="noreferrer" { (part) }
        } @else { (part) }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::message, *};

    #[test]
    fn messages_stand_with_their_platform_and_cannot_bring_markup() {
        let senders = ["whatsapp", "messenger"].map(|name| Sender {
            server_name: format!("{name}.localhost"),
            style: format!("{name}-style"),
            colour: "#123456".to_owned(),
        });
        let sms = message(None, "654321 is <b>yours</b>");
        let page = page(&senders, [&sms].into_iter());
        let (whatsapp, messenger) = page.split_once("<h2>messenger-style</h2>").expect("both are there");
        assert!(whatsapp.contains("<p class=\"code\">654321</p>"), "{page}");
        assert!(whatsapp.contains("&lt;b&gt;yours") && !page.contains("<b>yours"), "{page}");
        assert!(messenger.contains("Nothing was sent yet."), "{page}");
        let link = linked("http://messenger.localhost/x?a=1&b=2").into_string();
        assert!(link.contains("href=\"http://messenger.localhost/x?a=1&amp;b=2\""), "{link}");
        assert_eq!(linked("javascript:alert(1)").into_string(), "javascript:alert(1)");
        assert_eq!(linked("http://x and more").into_string(), "http://x and more");
    }
}
