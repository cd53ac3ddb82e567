//! How answers that are JSON are made.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt};
use http::{HeaderValue, header};
use linkspan_platforms::{Work, give_way, let_others_run};
use ruma::api::{OutgoingResponse, OutgoingResponseExt};

use crate::{ApiError, unsent::hold};

/// An answer whose body is already JSON.
pub fn json_response(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A JSON answer to a request that ruma has no type for.
pub fn json_answer(body: &serde_json::Value) -> Response {
    json_response(body.to_string().into_bytes())
}

/// An answer whose JSON is made piece by piece, each once the client has taken those before. `held_bytes` says about
/// how much memory it takes besides. An error breaks the answer off.
///
/// [`Limited`] if answers to the same caller hold too much already.
pub fn streamed_json_response(
    pieces: impl Stream<Item = Result<Vec<u8>, ApiError>> + Send + 'static,
    held_bytes: usize,
) -> Result<Response, ApiError> {
    let pieces = pieces.map_err(|error| {
        tracing::warn!(?error, "an answer was broken off");
        io::Error::other("the rest of the answer could not be made")
    });
    let work = Work::current().expect("an answer is made as a part of a request");
    let pieces = PiecesOfWork { pieces: Box::pin(pieces), work: work.clone() };
    let body = hold(&work, Body::from_stream(pieces), held_bytes)?;
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// A body whose bytes are read while it is sent, such as a file. They count as answered when the client has room for them, and
/// reading them gives way to shorter work.
pub fn streamed_content<E>(content: impl Stream<Item = Result<Bytes, E>> + Send + 'static) -> Body
where
    E: Into<axum::BoxError> + Send + 'static,
{
    let Some(work) = Work::current() else { return Body::from_stream(content) };
    let content = content.then(async |piece| {
        if give_way().await.is_err() {
            // An answer that has begun is not broken off.
            let_others_run().await;
        }
        piece
    });
    Body::from_stream(PiecesOfWork { pieces: Box::pin(content), work })
}

/// Pieces of an answer, of which each counts as a part of the request's work.
struct PiecesOfWork<S> {
    pieces: Pin<Box<S>>,
    work: Arc<Work>,
}

impl<B: AsRef<[u8]>, E, S: Stream<Item = Result<B, E>>> Stream for PiecesOfWork<S> {
    type Item = Result<B, E>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let work = self.work.clone();
        let next = work.step(|| self.pieces.as_mut().poll_next(context));
        if let Poll::Ready(Some(Ok(piece))) = &next {
            work.note_answer(piece.as_ref().len() as u64);
        }
        next
    }
}

/// The answer of a ruma type.
pub fn respond(response: impl OutgoingResponse) -> Result<Response, ApiError> {
    let response =
        response.try_into_http_response::<BytesMut>().map_err(|error| ApiError::internal(&error))?;
    Ok(response.map(|body| Body::from(body.freeze())))
}
