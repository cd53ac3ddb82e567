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
        Identity::Handle => "People are known by a public @handle.",
        Identity::Phone => "People are known by their phone number; the account's own name holds no number.",
        Identity::Account => "People have an account with a name and an e-mail address.",
    };
    let registration = match settings.registration {
        Registration::Open => "Registration is open: your client's “create account” works.",
        Registration::Token => "To register you need a registration token from the operator.",
        Registration::Closed => "Registration is closed; the operator makes the accounts.",
    };
    let others = list_others(platforms, platform);
    document(
        &settings.name,
        &format!(
            "<h1>{name}</h1>\n\
             <p>This is the chat platform <strong>{name}</strong>, a <a href=\"https://matrix.org\">Matrix</a> \
             server run by Linkspan. There is no app to open here: log in with the Matrix client you like.</p>\n\
             <dl>\n<dt>Homeserver</dt><dd><code>{address}</code></dd>\n\
             <dt>Your address</dt><dd><code>@{example}:{server}</code></dd>\n</dl>\n\
             <p>{known_by} {registration}</p>\n\
             <h2>Log in</h2>\n{steps}\
             <h2>Whom you can reach</h2>\n{others}",
            steps = login_steps(&address, example, &server),
        ),
    )
}

/// A host name that means no platform; which there are is nobody's business.
pub(crate) fn unknown_host_page() -> String {
    document("Linkspan", "<h1>Linkspan</h1>\n<p>No platform is served under this host name.</p>\n")
}

/// All arguments are HTML already.
fn login_steps(address: &str, example: &str, server: &str) -> String {
    format!(
        "<dl class=\"steps\">\n\
         <dt>Element Web</dt><dd>Sign in → Edit, beside the homeserver → Other homeserver → \
         <code>{address}</code></dd>\n\
         <dt>Cinny</dt><dd>Put <code>{address}</code> into the homeserver field of the log-in page.</dd>\n\
         <dt>FluffyChat</dt><dd>Sign in with another server: <code>{address}</code></dd>\n\
         <dt>nheko</dt><dd>Matrix ID <code>@{example}:{server}</code>, homeserver address \
         <code>{address}</code></dd>\n\
         <dt>iamb</dt><dd>In the profile: <code>user_id = \"@{example}:{server}\"</code> and \
         <code>url = \"{address}\"</code></dd>\n\
         </dl>\n"
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
