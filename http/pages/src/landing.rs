//! The page at `/`.

use linkspan_platforms::{Identity, Platform, Platforms, Registration};

use crate::html::{document, escape};

/// What runs here and how to log in. `address`: the homeserver's URL.
pub(crate) fn landing_page(platforms: &Platforms, platform: &Platform, address: &str) -> String {
    let settings = &platform.settings;
    let (name, server, address) =
        (escape(&settings.name), escape(settings.server_name.as_str()), escape(address));
    let example = match settings.identity {
        Identity::Handle => "anna",
        Identity::Phone => "u7k2m9x4",
        Identity::Account => "anna.berg",
    };
    let known_by = match settings.identity {
        Identity::Handle => "People here are known by a public @handle.",
        Identity::Phone => {
            "People here are known by their phone number; the name of the account holds no number."
        }
        Identity::Account => "People here have an account with a name and an e-mail address.",
    };
    let registration = match settings.registration {
        Registration::Open => "Registration is open: “create account” of your client works.",
        Registration::Token => "To register you need a registration token from the operator.",
        Registration::Closed => "Registration is closed; the operator makes the accounts.",
    };
    let others = list_others(platforms, platform);
    document(
        &settings.name,
        &format!(
            "<h1>{name}</h1>\n\
             <p class=\"lead\">A chat platform, and a <a href=\"https://matrix.org\">Matrix</a> server run by \
             Linkspan. There is no app to open here: log in with the Matrix client you like.</p>\n\
             <dl>\n<dt>Homeserver</dt><dd><code>{address}</code></dd>\n\
             <dt>Your address</dt><dd><code>@{example}:{server}</code>, with your own name</dd>\n</dl>\n\
             <p>{known_by} {registration}</p>\n\
             <h2>Log in</h2>\n{account}{steps}{limits}\
             <h2>Whom you can reach</h2>\n{others}",
            account = account_note(settings.oauth),
            steps = login_steps(&address, example, &server),
            limits = client_limits(&address),
        ),
    )
}

/// A host name that means no platform; which there are is nobody's business.
pub(crate) fn unknown_host_page() -> String {
    document("Linkspan", "<h1>Linkspan</h1>\n<p>No platform is served under this host name.</p>\n")
}

/// Where the account is managed, if the platform has pages for that.
fn account_note(oauth: bool) -> String {
    if !oauth {
        return String::new();
    }
    let (log_in, register) = (crate::log_in::PATH, crate::register::PATH);
    format!(
        "<p>Clients that use a browser for it lead you to this platform’s own page; others ask for your password. \
         Here you can <a href=\"{log_in}\">log in</a> to see your sessions and change your password, or \
         <a href=\"{register}\">create an account</a>.</p>\n"
    )
}

/// All arguments are HTML already.
fn login_steps(address: &str, example: &str, server: &str) -> String {
    format!(
        "<dl>\n\
         <dt>Element, on the desktop or on the web</dt><dd>Sign in → <b>Edit</b>, beside the homeserver → \
         <b>Other homeserver</b> → <code>{address}</code></dd>\n\
         <dt>FluffyChat</dt><dd>Choose another homeserver → <code>{address}</code></dd>\n\
         <dt>Cinny</dt><dd>Put <code>{address}</code> into the homeserver field of the log-in page.</dd>\n\
         <dt>nheko</dt><dd>Matrix ID <code>@{example}:{server}</code>; in the field for the homeserver, which \
         appears then, <code>{address}</code></dd>\n\
         <dt>iamb</dt><dd>In a profile of its configuration:<br><code>user_id = \"@{example}:{server}\"</code><br>\
         <code>url = \"{address}\"</code></dd>\n\
         </dl>\n"
    )
}

/// What may keep a client from working. The argument is HTML already.
fn client_limits(address: &str) -> String {
    if !address.starts_with("http://") {
        return String::new();
    }
    String::from(
        "<p class=\"note\">This address begins with <code>http://</code>: type that, too. Clients that are \
         programs of their own reach it. One that runs in a browser and came by <code>https://</code> does so \
         only if the server is on your own machine, and then not in every browser: some ask you first, \
         Safari refuses. A copy of Element Web or Cinny that your machine serves over <code>http://</code> \
         has no such trouble.</p>\n",
    )
}

fn list_others(platforms: &Platforms, platform: &Platform) -> String {
    let mut items = String::new();
    for other in platforms.iter().filter(|other| other.server_name() != platform.server_name()) {
        let (name, server) = (escape(&other.settings.name), escape(other.server_name().as_str()));
        items.push_str(&format!("<li>{name}: <code>@name:{server}</code></li>\n"));
    }
    if items.is_empty() {
        return "<p>People of this platform.</p>\n".to_owned();
    }
    format!("<p>People of this platform, and of these, without an account there:</p>\n<ul>\n{items}</ul>\n")
}
