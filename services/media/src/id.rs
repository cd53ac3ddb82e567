//! Media ids, and the names of contents in the object store.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use linkspan_storage::catalogue::PlatformKey;
use object_store::path::Path;
use ruma::ServerName;

use crate::MediaError;

/// The random bytes of an id. They make 24 characters.
const ID_BYTES: usize = 18;
/// The random bytes that tell two uploads for one id apart.
const ATTEMPT_BYTES: usize = 9;
/// The longest id that is looked for, in characters.
const ID_CHARS: usize = 255;

/// A new media id.
pub(crate) fn new_id() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; ID_BYTES]>())
}

/// A name for the content of one upload for `media_id`. Each upload gets another name, so that of two at the
/// same time the one that loses cannot replace the content of the one that wins.
pub(crate) fn new_object(media_id: &str) -> String {
    let attempt = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; ATTEMPT_BYTES]>());
    format!("{media_id}.{attempt}")
}

/// Refuses ids that no server of ours has given out; ids come from outside and become file names.
pub(crate) fn check_id(media_id: &str) -> Result<(), MediaError> {
    let is_ours = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (2..=ID_CHARS).contains(&media_id.len()) && media_id.bytes().all(is_ours) {
        Ok(())
    } else {
        Err(MediaError::NotFound)
    }
}

/// The media id that an object belongs to.
pub(crate) fn id_of_object(object: &str) -> &str {
    object.split_once('.').map_or(object, |(id, _)| id)
}

/// Where an object lies: at `<platform>/<first two characters>/<object>`.
pub(crate) fn object_path(platform: &ServerName, object: &str) -> Path {
    let shelf = object.get(..2).unwrap_or("__");
    Path::from_iter([platform.as_str(), shelf, object])
}

pub(crate) fn media_key(platform: &ServerName, media_id: &str) -> PlatformKey {
    PlatformKey { platform: platform.to_owned(), name: media_id.to_owned() }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::{check_id, id_of_object, new_id, new_object, object_path};

    #[test]
    fn new_ids_pass_the_check() {
        for _ in 0..100 {
            let id = new_id();
            assert_eq!(id.len(), 24);
            check_id(&id).expect("a new id");
            assert_eq!(id_of_object(&new_object(&id)), id);
        }
    }

    #[test]
    fn ids_from_elsewhere_do_not_become_paths() {
        for id in ["", "a", "..", "../../etc", "a/b", "a.b", "a%2Fb", "ab\0", "ab\n", "äb", "a b", "ab\\"] {
            assert!(check_id(id).is_err(), "{id:?}");
        }
        assert!(check_id(&"a".repeat(256)).is_err());
    }

    #[test]
    fn paths_start_with_the_platform() {
        let path = object_path(server_name!("insta.example:8448"), "abcd");
        assert_eq!(path.as_ref(), "insta.example:8448/ab/abcd");
    }
}
