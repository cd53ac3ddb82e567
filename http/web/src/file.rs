//! The files of the app.

use crate::encoding::Encoding;

/// The document that all addresses of the app give.
pub(crate) const INDEX: &str = "/index.html";
/// The document of the operator's console.
pub(crate) const CONSOLE: &str = "/console.html";
/// The folder of the console's files, which is within the next one.
pub(crate) const OF_CONSOLE: &str = "/app/console/";
/// The folder of the files whose names change with their content.
pub(crate) const IMMUTABLE: &str = "/app/";

/// A file of the app, and what it is when it is compressed, if that is smaller.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Its path at the platform's address, with a slash before it.
    pub path: &'static str,
    /// Its content.
    pub plain: &'static [u8],
    /// The same, compressed by Brotli.
    pub brotli: Option<&'static [u8]>,
    /// The same, compressed by gzip.
    pub gzip: Option<&'static [u8]>,
}

/// The files of the app that is built into the program. There are none if it was not built before.
pub const BUILT_IN: &[File] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

impl File {
    /// The encodings that there are, the best one first.
    pub(crate) fn encodings(&self) -> Vec<Encoding> {
        let brotli = self.brotli.map(|_| Encoding::Brotli);
        let gzip = self.gzip.map(|_| Encoding::Gzip);
        brotli.into_iter().chain(gzip).chain([Encoding::Identity]).collect()
    }

    /// The content in one of these encodings.
    pub(crate) fn encoded(&self, encoding: Encoding) -> &'static [u8] {
        let compressed = match encoding {
            Encoding::Brotli => self.brotli,
            Encoding::Gzip => self.gzip,
            Encoding::Identity => None,
        };
        compressed.unwrap_or(self.plain)
    }
}

/// The type of what is in a file, by its name. Browsers compile WebAssembly while it comes only if its type is right.
pub(crate) fn content_type(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "mp3" => "audio/mpeg",
        "ogg" | "opus" => "audio/ogg",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
