//! What an answer leaves unread of its request's body. A connection can serve another request only once all of the
//! body has been read, and many answers (401, 404, 429 and others) are given before that.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http_body_util::{BodyExt, Limited};
use hyper::{
    Request,
    body::{Body, Bytes, Frame, Incoming, SizeHint},
    header,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::oneshot::{self, error::TryRecvError},
    time::timeout,
};

use crate::throttle::Throttle;

/// The greatest rest of a body that is read to keep a connection. A new connection costs less than reading more.
const REST_BYTES: usize = 64 << 10;
/// How long an answer waits for the rest of a body. It is on its way together with the head, as a rule.
const REST_TIME: Duration = Duration::from_secs(1);
/// How long a connection that closes still takes what its client sends. A client that writes to a closed
/// connection gets an error, and most then never read the answer that came before it.
const LINGER_TIME: Duration = Duration::from_secs(2);
/// How much a connection that closes still takes.
const LINGER_BYTES: usize = 64 << 20;
/// How much of it counts as a piece.
const LINGER_PIECE: usize = 64 << 10;
/// How much of it is read at a time. So much is held for each connection that closes.
const LINGER_BUFFER: usize = 8 << 10;

/// The body of a request. If it is dropped before its end, [`UnreadBody`] gets the rest of it.
#[derive(Debug)]
pub(crate) struct WatchedBody {
    body: Option<Incoming>,
    rest: Option<oneshot::Sender<Incoming>>,
}

/// What is left of a request's body once the request is answered.
#[derive(Debug)]
pub(crate) struct UnreadBody {
    /// Brings what was not read of the body. None if the request has no body.
    rest: Option<oneshot::Receiver<Incoming>>,
    /// Whether the client sends the body only when it is asked to.
    waits_to_be_asked: bool,
}

/// Watches how much of a request's body is read.
pub(crate) fn watch(request: Request<Incoming>) -> (Request<WatchedBody>, UnreadBody) {
    let waits_to_be_asked = request.headers().contains_key(header::EXPECT);
    let (sender, receiver) = if request.body().is_end_stream() {
        (None, None)
    } else {
        let (sender, receiver) = oneshot::channel();
        (Some(sender), Some(receiver))
    };
    let request = request.map(|body| WatchedBody { body: Some(body), rest: sender });
    (request, UnreadBody { rest: receiver, waits_to_be_asked })
}

impl UnreadBody {
    /// Reads what is left of the body, if that is little and comes soon. It is called once the request has
    /// been answered. Returns false if the connection cannot serve another request.
    pub(crate) async fn read_rest(self) -> bool {
        let Some(mut rest) = self.rest else { return true };
        match rest.try_recv() {
            Ok(body) => !self.waits_to_be_asked && Box::pin(read_rest(body)).await,
            // Nothing is left.
            Err(TryRecvError::Closed) => true,
            // Something goes on reading after the answer, and may stop anywhere.
            Err(TryRecvError::Empty) => false,
        }
    }
}

async fn read_rest(body: Incoming) -> bool {
    if body.size_hint().lower() > REST_BYTES as u64 {
        return false;
    }
    matches!(timeout(REST_TIME, Limited::new(body, REST_BYTES).collect()).await, Ok(Ok(_)))
}

/// Takes what a client still sends on a connection that closes, within limits, and throws it away.
pub(crate) async fn linger(stream: &mut (impl AsyncRead + Unpin), pieces: &Throttle) {
    let take = async {
        let mut buffer = vec![0; LINGER_BUFFER];
        for _ in 0..LINGER_BYTES / LINGER_PIECE {
            let mut left = LINGER_PIECE;
            while left > 0 {
                // It does not matter how it ends: the answer is out.
                let Ok(taken @ 1..) = stream.read(&mut buffer).await else { return };
                left = left.saturating_sub(taken);
            }
            pieces.wait().await;
        }
    };
    let _ = timeout(LINGER_TIME, take).await;
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        // After an error hyper closes the connection by itself.
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        let unread = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(unread), Some(rest)) = (unread, self.rest.take()) {
            // Nobody takes it if the connection is gone.
            let _ = rest.send(unread);
        }
    }
}
