//! Redirect URIs: where a client may have a browser sent back to.
//! <https://spec.matrix.org/v1.19/client-server-api/#redirect-uri-validation>

use url::{Host, Url};

/// The longest redirect URI, in bytes.
const MAX_BYTES: usize = 2_048;

/// What kind of client a redirect URI is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Native,
    Web {
        /// Whether clients that are being developed on the server's own machine are served.
        loopback: bool,
    },
}

/// Refuses a redirect URI that a client of `client_uri` must not have. The error says why.
pub(crate) fn check_redirect_uri(uri: &str, client_uri: &Url, kind: Kind) -> Result<(), &'static str> {
    let parsed = parse_uri(uri)?;
    if uri.contains('#') {
        return Err("a redirect URI has no fragment");
    }
    match (kind, parsed.scheme()) {
        (_, "https") => check_common_base(&parsed, client_uri),
        (Kind::Native, "http") if !is_loopback(&parsed) || parsed.port().is_some() || has_user(&parsed) => {
            Err("a redirect URI with http is one of localhost, 127.0.0.1 or [::1], without a port")
        }
        (Kind::Native, "http") => Ok(()),
        (Kind::Native, scheme) => check_private_scheme(uri, scheme, &parsed, client_uri),
        (Kind::Web { loopback: true }, "http") if is_loopback(&parsed) && !has_user(&parsed) => Ok(()),
        (Kind::Web { .. }, _) => Err("the redirect URI of a web client is one of https"),
    }
}

/// Whether the redirect URI that a client asks for is one that it has registered. For a loopback address, any
/// port will do (RFC 8252, section 7.3).
pub(crate) fn is_registered(asked: &str, registered: &str) -> bool {
    if asked == registered {
        return true;
    }
    let (Ok(mut asked), Ok(registered)) = (parse_uri(asked), Url::parse(registered)) else { return false };
    let portless = registered.scheme() == "http" && is_loopback(&registered) && registered.port().is_none();
    portless && asked.set_port(None).is_ok() && asked == registered
}

/// Parses a URI of printable ASCII. Parsers elsewhere ignore other characters, but here they would end up in
/// headers.
pub(crate) fn parse_uri(uri: &str) -> Result<Url, &'static str> {
    if uri.len() > MAX_BYTES || !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a URI has at most 2048 bytes, of printable ASCII");
    }
    let parsed = Url::parse(uri).map_err(|_| "this is no URI")?;
    if uri.contains('\\') || (parsed.is_special() && !host_is_plain(uri, &parsed)) {
        return Err("a URI has its host after `//`, written as it is, and no backslash");
    }
    Ok(parsed)
}

/// Whether a URI of the web says its host in the one way that everybody reads alike. Browsers take backslashes for
/// slashes, leave slashes out, and decode hosts and numbers; others do not.
fn host_is_plain(uri: &str, parsed: &Url) -> bool {
    let Some((_, rest)) = uri.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = parsed.host_str().unwrap_or_default();
    let Some((start, port)) = authority.split_at_checked(host.len()) else { return false };
    let is_port = port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    start.eq_ignore_ascii_case(host) && (port.is_empty() || is_port)
}

/// Whether strangers have hosts of their own below the host of a URI, as below `co.uk` or `github.io`. A client that
/// had it could be sent what is meant for any of them. Mozilla's list of public suffixes says so.
pub(crate) fn is_a_registry(uri: &Url) -> bool {
    match uri.host() {
        Some(Host::Domain(host)) => {
            host.ends_with('.') || (!is_loopback(uri) && psl::domain_str(host).is_none())
        }
        _ => false,
    }
}

/// Refuses a URI that is neither on the host of the client nor below it.
pub(crate) fn check_common_base(uri: &Url, client_uri: &Url) -> Result<(), &'static str> {
    let (Some(host), Some(base)) = (uri.host_str(), client_uri.host_str()) else {
        return Err("a URI has a host");
    };
    let below = host.strip_suffix(base).is_some_and(|rest| rest.ends_with('.'));
    if has_user(uri) || !(host == base || below) {
        return Err("a URI is on the host of the client URI or below it, without user and password");
    }
    Ok(())
}

fn check_private_scheme(uri: &str, scheme: &str, parsed: &Url, client_uri: &Url) -> Result<(), &'static str> {
    let host = client_uri.host_str().unwrap_or_default();
    let reversed = host.rsplit('.').collect::<Vec<_>>().join(".");
    let below = scheme.strip_prefix(&reversed).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    if !host.contains('.') || !below {
        return Err("a scheme of its own starts with the host of the client URI in reverse");
    }
    let rest = uri.get(scheme.len() + 1..).unwrap_or_default();
    if parsed.has_authority() || rest.starts_with("//") {
        return Err("a URI with a scheme of its own has no authority");
    }
    Ok(())
}

pub(crate) fn is_loopback(uri: &Url) -> bool {
    matches!(uri.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

pub(crate) fn has_user(uri: &Url) -> bool {
    !uri.username().is_empty() || uri.password().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(kind: Kind, uri: &str) -> bool {
        let client_uri = Url::parse("https://example.com/").expect("a URI");
        check_redirect_uri(uri, &client_uri, kind).is_ok()
    }

    #[test]
    fn web_clients_come_back_by_https() {
        let web = Kind::Web { loopback: false };
        for uri in [
            "https://example.com/callback",
            "https://app.example.com/callback",
            "https://example.com:5173/?query=value",
        ] {
            assert!(allowed(web, uri), "{uri}");
        }
        for uri in [
            "https://example.com/callback#fragment",
            "https://example.com/callback#",
            "http://example.com/callback",
            "http://localhost/",
            "https://badexample.com/",
            "https://example.com.evil.org/",
            "https://anna@example.com/",
            "https://example.com/a\r\nSet-Cookie: x",
            "https://example.com/\tx",
            "javascript:alert(1)",
            "com.example:/",
            "",
            "/callback",
        ] {
            assert!(!allowed(web, uri), "{uri:?}");
        }
        assert!(allowed(Kind::Web { loopback: true }, "http://localhost:8080/"));
        assert!(!allowed(Kind::Web { loopback: true }, "http://example.com/"));
    }

    #[test]
    fn a_uri_that_browsers_read_differently_is_refused() {
        for uri in [
            "https://example.com\\.evil.org/",
            "https:\\\\example.com/",
            "https:example.com/",
            "https:///example.com/",
            "https://ex%61mple.com/",
            "https://0x7f.1/",
            "https://anna@example.com/",
            "https://example.com/a\\b",
            "com.example:/a\\b",
        ] {
            assert!(parse_uri(uri).is_err(), "{uri}");
        }
        for uri in [
            "https://Example.com:443/a?b#c",
            "https://[::1]:8443",
            "com.example:/a",
            "https://xn--4ca.example",
        ] {
            assert!(parse_uri(uri).is_ok(), "{uri}");
        }
    }

    #[test]
    fn what_strangers_have_hosts_below_belongs_to_no_client() {
        let is_registry = |uri: &str| is_a_registry(&Url::parse(uri).expect("a URI"));
        for uri in ["https://com/", "https://co.uk/", "https://github.io/", "https://com./"] {
            assert!(is_registry(uri), "{uri}");
        }
        for uri in [
            "https://example.com/",
            "https://a.co.uk/",
            "https://me.github.io/",
            "https://192.0.2.1/",
            "https://app.localhost/",
            "http://localhost:8080/",
        ] {
            assert!(!is_registry(uri), "{uri}");
        }
    }

    #[test]
    fn native_clients_come_back_to_themselves() {
        for uri in [
            "com.example.app:/callback",
            "com.example:/",
            "com.example:callback",
            "http://localhost/callback",
            "http://127.0.0.1/callback",
            "http://[::1]/callback",
            "https://example.com/open",
        ] {
            assert!(allowed(Kind::Native, uri), "{uri}");
        }
        for uri in [
            "example:/callback",
            "com.example.app://callback",
            "com.examples:/callback",
            "https://localhost/callback",
            "http://localhost:1234/callback",
            "http://192.168.0.1/callback",
            "javascript:alert(1)",
            "data:text/html,x",
        ] {
            assert!(!allowed(Kind::Native, uri), "{uri}");
        }
    }

    #[test]
    fn only_loopback_ports_may_differ() {
        assert!(is_registered("http://127.0.0.1:4711/cb", "http://127.0.0.1/cb"));
        assert!(!is_registered("http://127.0.0.1:4711/other", "http://127.0.0.1/cb"));
        assert!(!is_registered("http://localhost:4711/cb", "http://127.0.0.1/cb"));
        assert!(!is_registered("http://u@127.0.0.1:4711/cb", "http://127.0.0.1/cb"));
        assert!(is_registered("https://example.com/cb", "https://example.com/cb"));
        for other in ["https://example.com:8443/cb", "https://example.com/cb/", "https://example.com/cb?a"] {
            assert!(!is_registered(other, "https://example.com/cb"), "{other}");
        }
    }
}
