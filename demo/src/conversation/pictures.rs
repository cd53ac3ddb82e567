//! Pictures: somebody sends one, and the others load what the message that came says.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Conversation, describe::plain};
use crate::{Failure, picture, screen::Line};

/// The side of a square in which thumbnails are to fit, in pixels.
const THUMBNAIL: u32 = 96;

impl Conversation<'_> {
    /// Somebody sends the picture, and the others load it. Returns the event.
    pub(super) async fn shows_picture(
        &mut self,
        who: usize,
        room: &str,
        members: &[usize],
    ) -> Result<String, Failure> {
        let png = picture::draw();
        let before = self.now();
        let words = json!({
            "room": room, "data": STANDARD.encode(&png), "mimetype": "image/png", "name": "linkspan.png",
            "width": picture::WIDTH, "height": picture::HEIGHT,
        });
        let id = self.people[who].gets("send_picture", words).await?;
        let mut shown = self.gather(&before, &self.event(room, &id), &self.others(who, members)).await;
        for one in shown.iter_mut().filter(|one| one.delay.is_some()) {
            // What is loaded is what arrived.
            let content = self.people[one.who].heard().item(room, &id).map(|item| item["content"].clone());
            one.lines.extend(self.loads(one.who, &content.unwrap_or_default(), &png).await?);
        }
        self.show(shown, members)?;
        Ok(id)
    }

    /// Loads the picture of a message, and says what it is. The server makes smaller ones of what it can
    /// read.
    async fn loads(&mut self, who: usize, content: &Value, sent: &[u8]) -> Result<Vec<Line>, Failure> {
        let person = &mut self.people[who];
        let (mxc, file) = (&content["url"], &content["file"]);
        let whole = match file {
            Value::Null => person.does("download", json!({ "mxc": mxc })).await?,
            file => person.does("download_encrypted", json!({ "file": file })).await?,
        };
        let (whole, (width, height)) = loaded(&whole)?;
        if whole != sent {
            return Err(format!("the picture that {} loaded is another", person.role.name).into());
        }
        let mut lines = vec![plain(format!("  {width} × {height}, {:.1} kB", whole.len() as f64 / 1000.0))];
        if file.is_null() {
            let words = json!({ "mxc": mxc, "width": THUMBNAIL, "height": THUMBNAIL });
            let (_, (width, height)) = loaded(&person.does("thumbnail", words).await?)?;
            lines.push(plain(format!("  thumbnail {width} × {height}")));
        }
        Ok(lines)
    }
}

/// The content of media that were loaded, and a picture's size.
fn loaded(answer: &Value) -> Result<(Vec<u8>, (u32, u32)), Failure> {
    let data = STANDARD.decode(answer["data"].as_str().unwrap_or_default())?;
    let size = picture::size(&data).ok_or("what was loaded is no picture")?;
    Ok((data, size))
}
