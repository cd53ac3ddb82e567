//! Fetching a page or a picture from a stranger, with limits on time, size, type and redirects.

use linkspan_outbound::Outbound;
use reqwest::{Response, Url, header};

/// The most redirects that are followed.
const REDIRECTS: usize = 5;
/// The types of pages.
const PAGES: [&str; 2] = ["text/html", "application/xhtml+xml"];
/// The types of pictures.
const PICTURES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// What was at an address.
pub(super) enum Fetched {
    /// A page, perhaps only its beginning.
    Page { url: Url, html: Vec<u8> },
    /// A picture as a whole.
    Picture { url: Url, content_type: String, bytes: Vec<u8> },
}

/// Fetches what is at an address, and follows redirects. The error says why nothing was fetched, and may be
/// told to anybody.
pub(super) async fn fetch(
    outbound: &Outbound,
    mut url: Url,
    page_bytes: usize,
    picture_bytes: usize,
) -> Result<Fetched, String> {
    for _ in 0..=REDIRECTS {
        let client = outbound.client_for(&url).map_err(|error| error.to_string())?;
        let request = client.get(url.clone()).header(header::ACCEPT, "text/html, image/*;q=0.8");
        // The cause would tell of this server's network.
        let response = request.send().await.map_err(|_| "the page cannot be reached".to_owned())?;
        if response.status().is_redirection() {
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            url = location.and_then(|location| url.join(location).ok()).ok_or("a redirect leads nowhere")?;
            continue;
        }
        if !response.status().is_success() {
            return Err(format!("the page's server answers {}", response.status().as_u16()));
        }
        let content_type = content_type(&response);
        if PAGES.contains(&content_type.as_str()) && page_bytes > 0 {
            let (html, _) = read(response, page_bytes).await?;
            return Ok(Fetched::Page { url, html });
        }
        if PICTURES.contains(&content_type.as_str()) {
            let (bytes, whole) = read(response, picture_bytes).await?;
            let picture = Fetched::Picture { url, content_type, bytes };
            return if whole { Ok(picture) } else { Err("the picture is too large".into()) };
        }
        return Err("there is no page at this address".into());
    }
    Err("there are too many redirects".into())
}

/// The media type of a response, in lower case and without parameters.
fn content_type(response: &Response) -> String {
    let value = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// Reads at most `limit` bytes of an answer. Also says whether these are all.
async fn read(mut response: Response, limit: usize) -> Result<(Vec<u8>, bool), String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| "the page broke off".to_owned())? {
        let rest = limit - body.len();
        if chunk.len() > rest {
            body.extend_from_slice(&chunk[..rest]);
            return Ok((body, false));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((body, true))
}
