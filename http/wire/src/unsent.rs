//! Answers that have been made and not been taken by their clients yet: they hold memory until then.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use linkspan_platforms::{Holding, Limited, Work};

/// Smaller answers are not counted: a connection's buffers hold as much.
const SMALL_BYTES: usize = 16 << 10;
/// How many bytes of an answer are handed to a connection at a time.
const PIECE_BYTES: usize = 32 << 10;

/// Has an answer's body count as held until it has been taken, if it is large. [`Limited`]: there is no room for it.
pub(crate) fn hold_whole(work: &Work, body: Body) -> Result<Body, Limited> {
    let bytes = usize::try_from(body.size_hint().exact().unwrap_or_default()).unwrap_or(usize::MAX);
    if bytes < SMALL_BYTES { Ok(body) } else { hold(work, body, bytes) }
}

/// Has so many bytes count as held for as long as a body is there.
pub(crate) fn hold(work: &Work, body: Body, bytes: usize) -> Result<Body, Limited> {
    let mut holding = work.platform().unsent.begin(work.who().to_owned());
    holding.grow_to(bytes)?;
    Ok(Body::new(HeldBody { body, rest: Bytes::new(), _holding: holding }))
}

/// A body that is handed over in pieces, each once the connection has room for it. It counts as held until it is
/// dropped.
struct HeldBody {
    body: Body,
    /// What was taken out of the body and not handed over yet.
    rest: Bytes,
    _holding: Holding,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while self.rest.is_empty() {
            let Some(frame) = std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) else {
                return Poll::Ready(None);
            };
            match frame?.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let piece = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        if let Some(bytes) = hint.exact() {
            hint.set_exact(self.rest.len() as u64 + bytes);
        }
        hint
    }
}
