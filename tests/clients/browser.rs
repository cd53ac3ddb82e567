//! A person's browser on the pages of a platform. It keeps cookies, follows redirects, and fills in forms.

use std::collections::BTreeMap;

use linkspan_tests::{
    PASSWORD, Platform, Server,
    http1::{Answer, Client, Request},
};
use url::form_urlencoded;

/// A browser that visits one platform.
pub(crate) struct Browser {
    host: String,
    client: Client,
    cookies: BTreeMap<String, String>,
}

/// What a person sees.
struct Page {
    path: String,
    text: String,
}

impl Browser {
    pub(crate) fn new(server: &Server, platform: Platform) -> Self {
        let host = server.addresses()[platform as usize].clone();
        Self { client: Client::new(&host), host, cookies: BTreeMap::new() }
    }

    /// Logs in on the page if it asks for that, and allows what is asked there. Returns where the browser is
    /// sent then.
    pub(crate) fn allow(&mut self, url: &str, user: &str) -> Option<String> {
        let mut page = self.open(url);
        if page.text.contains("name=\"password\"") {
            let next = self.fill(&page, &[("user", user), ("password", PASSWORD)]);
            page = self.open(&next.expect("a log-in leads on"));
        }
        self.fill(&page, &[("answer", "allow")])
    }

    /// Opens a page, and follows redirects.
    fn open(&mut self, url: &str) -> Page {
        let mut path = self.path(url);
        loop {
            let answer = self.ask(Request::new("GET", &path));
            match (answer.status, answer.header("location")) {
                (303, Some(to)) => path = self.path(to),
                (200, None) => return Page { path, text: answer.text() },
                (status, to) => panic!("{path}: {status} to {to:?}: {}", answer.text()),
            }
        }
    }

    /// Fills in the form of a page that asks for these values, and the hidden fields in it. Returns where the
    /// browser is sent then.
    fn fill(&mut self, page: &Page, values: &[(&str, &str)]) -> Option<String> {
        let asks = format!(" name=\"{}\"", values[0].0);
        let mut forms = page.text.split("<form").filter_map(|rest| rest.split_once("</form>"));
        let (html, _) = forms.find(|(html, _)| html.contains(&asks)).expect("the page asks for it");
        let action = attribute(html, "action").unwrap_or_else(|| page.path.clone());
        let mut form = form_urlencoded::Serializer::new(String::new());
        for input in html.split("<input").filter(|input| input.contains("type=\"hidden\"")) {
            let (name, value) = (attribute(input, "name"), attribute(input, "value"));
            form.append_pair(&name.unwrap_or_default(), &value.unwrap_or_default());
        }
        let body = form.extend_pairs(values).finish();
        let mut request = Request::new("POST", self.path(&action))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("Origin", &format!("http://{}", self.host));
        request.body = body.into_bytes();
        let answer = self.ask(request);
        assert!(matches!(answer.status, 200 | 303), "{}: {}", answer.status, answer.text());
        answer.header("location").map(ToOwned::to_owned)
    }

    fn ask(&mut self, request: Request) -> Answer {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = match cookies.is_empty() {
            true => request,
            false => request.header("Cookie", &cookies.join("; ")),
        };
        let answer = self.client.ask(&self.host, &request).expect("an answer");
        for (_, cookie) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a cookie has a name");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    /// The path of an address of this platform.
    fn path(&self, url: &str) -> String {
        let own = format!("http://{}", self.host);
        let path = url.strip_prefix(&own).unwrap_or(url);
        assert!(path.starts_with('/'), "{url} is elsewhere");
        path.to_owned()
    }
}

/// An attribute of the first tag that has it.
fn attribute(html: &str, name: &str) -> Option<String> {
    let (_, rest) = html.split_once(&format!(" {name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    Some(value.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}
