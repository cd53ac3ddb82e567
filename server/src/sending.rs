//! Sending answers: what is done once one is written, and the end of a connection whose client does not read.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{body::Body, response::Response};
use hyper::body::{Body as _, Bytes, Frame, SizeHint};
use linkspan_storage::AnswerSent;
use parking_lot::Mutex;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

use crate::{connections::Seat, under_way::UnderWay};

/// How long it is watched how much a client reads that is slower than its answer. Phones lose their network for as long as
/// this.
const SLOW_TIME: Duration = Duration::from_secs(60);
/// How much such a client has to read in this time, in bytes: about 1 KB/s, which is slower than any network of today.
const SLOW_BYTES: usize = 64 << 10;
/// How much the system keeps of an answer that it cannot send yet, in bytes. If it kept megabytes, as it does by itself,
/// it would take more only in large steps, and a slow client would look like one that does not read. It sends ahead as
/// much as the network takes all the same.
const UNSENT_BYTES: u32 = 64 << 10;

/// Has the system keep little of what it cannot send yet.
pub(crate) fn keep_little_unsent(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES) {
        tracing::debug!(%error, "TCP_NOTSENT_LOWAT could not be set");
    }
}

/// A stream that lets go of an answer's [`AnswerSent`] once the answer has been written to it. Writing fails if the client
/// reads next to nothing.
pub(crate) struct Sending<S> {
    stream: S,
    /// What the newest answer holds, until that answer is written.
    answer: Arc<Mutex<Option<AnswerSent>>>,
    seat: Arc<Seat>,
    /// There is more to write than the client has read.
    blocked: Option<Blocked>,
    /// All is written, and what the stream has kept of it is on its way. TLS keeps some; TCP nothing.
    flushes: bool,
}

/// How a client gets on that is slower than its answer.
struct Blocked {
    time: Pin<Box<Sleep>>,
    /// How much was written since the time began.
    written: usize,
}

impl<S> Sending<S> {
    pub(crate) fn new(stream: S, answer: Arc<Mutex<Option<AnswerSent>>>, seat: Arc<Seat>) -> Self {
        Self { stream, answer, seat, blocked: None, flushes: false }
    }

    /// Waits until the client takes the end of what is written, for which it has a time of its own.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if !self.flushes {
            self.flushes = true;
            self.blocked = None;
        }
        self.poll_blocked(context)
    }

    /// Waits until the client reads. Fails when it has read too little.
    fn poll_blocked(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let begin = || Blocked { time: Box::pin(sleep(SLOW_TIME)), written: 0 };
        let blocked = self.blocked.get_or_insert_with(begin);
        loop {
            ready!(blocked.time.as_mut().poll(context));
            if blocked.written < SLOW_BYTES {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            blocked.written = 0;
            blocked.time.as_mut().reset(Instant::now() + SLOW_TIME);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sending<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sending<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(context, bytes) else {
            return self.poll_blocked(context).map(Err);
        };
        self.flushes = false;
        if let (Some(blocked), Ok(written)) = (&mut self.blocked, &written) {
            blocked.written += written;
        }
        Poll::Ready(written)
    }

    /// hyper flushes when it has written all that it has.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(context) else {
            return self.poll_end(context).map(Err);
        };
        self.flushes = false;
        self.blocked = None;
        self.seat.all_is_written();
        drop(self.answer.lock().take());
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Pending => self.poll_end(context).map(Err),
            ended => ended,
        }
    }
}

/// Has a connection count as being in a request until all of its answer is there.
pub(crate) fn until_whole(response: Response, seat: &Arc<Seat>, under_way: Option<UnderWay>) -> Response {
    // What is whole already is written in one go.
    if response.body().size_hint().exact().is_some() {
        seat.answer_is_whole();
        return response;
    }
    response.map(|body| Body::new(Streamed { body, seat: seat.clone(), _under_way: under_way }))
}

/// The body of an answer that comes bit by bit. When it is dropped, it has ended.
struct Streamed {
    body: Body,
    seat: Arc<Seat>,
    _under_way: Option<UnderWay>,
}

impl hyper::body::Body for Streamed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        self.seat.answer_is_whole();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, DuplexStream, duplex};

    use super::*;

    /// An answer that is far larger than what fits on the way, and its client.
    async fn send(read: impl AsyncFnOnce(DuplexStream)) -> io::Result<()> {
        let (stream, client) = duplex(1 << 10);
        let mut sending = Sending::new(stream, Arc::default(), Arc::default());
        let sent = async {
            sending.write_all(&vec![0; 1 << 20]).await?;
            sending.flush().await
        };
        tokio::select! {
            sent = sent => sent,
            () = read(client) => unreachable!("the client goes on for ever"),
        }
    }

    async fn read_slowly(mut client: DuplexStream, bytes: usize, pause: Duration) {
        let mut buffer = vec![0; bytes];
        loop {
            sleep(pause).await;
            if client.read_exact(&mut buffer).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_ends_its_connection() {
        let begun = Instant::now();
        let sent = send(async |_client| std::future::pending().await).await;
        assert_eq!(sent.expect_err("it ends").kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), SLOW_TIME.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_take_the_end_ends_its_connection() {
        let (stream, _client) = duplex(1 << 10);
        let kept = BufWriter::with_capacity(64 << 10, stream);
        let mut sending = Sending::new(kept, Arc::default(), Arc::default());
        sending.write_all(&[0; 32 << 10]).await.expect("it is kept");
        let begun = Instant::now();
        assert_eq!(sending.flush().await.expect_err("it ends").kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), SLOW_TIME.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_next_to_nothing_ends_its_connection() {
        let sent = send(async |client| read_slowly(client, 1 << 10, Duration::from_secs(2)).await).await;
        assert_eq!(sent.expect_err("it ends").kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_gets_its_answer_in_its_time() {
        let begun = Instant::now();
        send(async |client| read_slowly(client, 64 << 10, Duration::from_secs(45)).await)
            .await
            .expect("all of it");
        assert!(begun.elapsed() > 10 * SLOW_TIME, "{:?}", begun.elapsed());
    }
}
