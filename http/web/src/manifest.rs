//! The manifest, by which a browser installs the app of a platform under the platform's own name.
//! <https://www.w3.org/TR/appmanifest/>

use linkspan_platforms::Platform;
use serde_json::{Value, json};

use crate::icon::Icon;

/// The path of the manifest.
pub(crate) const PATH: &str = "/manifest.webmanifest";

/// The manifest of a platform's app, as JSON.
pub(crate) fn of(platform: &Platform) -> String {
    let name = platform.display_name();
    let icons: Vec<_> = Icon::ALL.into_iter().map(entry).collect();
    let mut manifest = json!({
        "id": "/",
        "start_url": "/",
        "scope": "/",
        "name": name,
        "short_name": name,
        "display": "standalone",
        "background_color": "#ffffff",
        "theme_color": platform.colour().to_string(),
        "categories": ["social"],
        "icons": icons,
    });
    if let Some(label) = &platform.settings.label {
        manifest["description"] = json!(label);
    }
    manifest.to_string()
}

fn entry(icon: Icon) -> Value {
    let purpose = if icon == Icon::Maskable { "maskable" } else { "any" };
    let sizes = icon.side().map_or("any".to_owned(), |side| format!("{side}x{side}"));
    json!({ "src": icon.path(), "sizes": sizes, "type": icon.content_type(), "purpose": purpose })
}
