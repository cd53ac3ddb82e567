//! The kinds of content that some apps can show and others cannot.
//!
//! The list is closed, so that a platform, an app and a writer mean the same by each. Its words are Matrix's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContentKind {
    /// Text that is formatted: bold, lists, quotations.
    Formatting,
    /// `m.image`.
    Image,
    /// `m.video`.
    Video,
    /// `m.audio` that nobody spoke into the app, such as music.
    Audio,
    /// A voice message: `m.audio` with `org.matrix.msc3245.voice`.
    Voice,
    /// `m.file`.
    File,
    /// `m.location`.
    Location,
    /// `m.sticker`.
    Sticker,
    /// A poll: `m.poll.start`, and what answers and ends it.
    Poll,
    /// A reply, shown with what it answers.
    Reply,
    /// `m.reaction`.
    Reaction,
    /// A message that takes the place of an earlier one: `m.replace`.
    Edit,
    /// Messages of a thread, shown as one: `m.thread`.
    Thread,
    /// Messages that go when their time is up.
    Disappearing,
}

impl ContentKind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Formatting,
        Self::Image,
        Self::Video,
        Self::Audio,
        Self::Voice,
        Self::File,
        Self::Location,
        Self::Sticker,
        Self::Poll,
        Self::Reply,
        Self::Reaction,
        Self::Edit,
        Self::Thread,
        Self::Disappearing,
    ];

    /// Whether the specification has it. What it does not have, an app that says nothing of itself cannot be expected to
    /// show.
    /// <https://spec.matrix.org/v1.19/client-server-api/#instant-messaging>
    pub fn is_specified(self) -> bool {
        !matches!(self, Self::Voice | Self::Poll | Self::Disappearing)
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What it is called in configurations and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Formatting => "formatting",
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Voice => "voice",
            Self::File => "file",
            Self::Location => "location",
            Self::Sticker => "sticker",
            Self::Poll => "poll",
            Self::Reply => "reply",
            Self::Reaction => "reaction",
            Self::Edit => "edit",
            Self::Thread => "thread",
            Self::Disappearing => "disappearing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ContentKind;

    #[test]
    fn a_kind_is_read_by_the_name_under_which_it_is_written() {
        for kind in ContentKind::ALL {
            let name = serde_json::json!(kind.name());
            assert_eq!(serde_json::to_value(kind).expect("it is written"), name);
            assert_eq!(serde_json::from_value::<ContentKind>(name).expect("it is read"), kind);
            assert_eq!(ContentKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(ContentKind::from_name("hologram"), None);
    }
}
