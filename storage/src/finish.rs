//! Futures that run to their end: half of a change done would leave memory and disk at odds.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

/// A future that is not given up. If it is dropped before its end, it goes on as a task of its own. That
/// costs less than a task from the start, which would take further wake-ups.
#[must_use = "a future does nothing until it is awaited or dropped"]
pub struct Finish<T: Send + 'static> {
    rest: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
}

impl<T: Send + 'static> Finish<T> {
    /// Has `future` run to its end once this is dropped or awaited.
    pub fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self { rest: Some(Box::pin(future)) }
    }
}

impl<T: Send + 'static> From<Pin<Box<dyn Future<Output = T> + Send>>> for Finish<T> {
    fn from(future: Pin<Box<dyn Future<Output = T> + Send>>) -> Self {
        Self { rest: Some(future) }
    }
}

impl<T: Send + 'static> std::fmt::Debug for Finish<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Finish")
    }
}

impl<T: Send + 'static> Future for Finish<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Once it has panicked, there is nothing left to go on with.
        let Some(mut rest) = self.rest.take() else { return Poll::Pending };
        let outcome = rest.as_mut().poll(context);
        if outcome.is_pending() {
            self.rest = Some(rest);
        }
        outcome
    }
}

impl<T: Send + 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        // Without a runtime the program is about to end, so nothing goes on.
        if let (Some(rest), Ok(runtime)) = (self.rest.take(), Handle::try_current()) {
            drop(runtime.spawn(rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// Something with two steps, which says when it has come to its end.
    fn two_steps() -> (Finish<u8>, oneshot::Sender<()>, oneshot::Receiver<()>) {
        let (go_on, wait) = oneshot::channel();
        let (ended, end) = oneshot::channel();
        let steps = Finish::new(async move {
            wait.await.expect("it is told to go on");
            let _ = ended.send(());
            7
        });
        (steps, go_on, end)
    }

    #[tokio::test]
    async fn what_is_awaited_gives_its_answer() {
        let (steps, go_on, end) = two_steps();
        go_on.send(()).expect("it waits");
        assert_eq!(steps.await, 7);
        end.await.expect("it came to its end");
    }

    #[tokio::test]
    async fn what_is_dropped_half_way_goes_on() {
        let (mut steps, go_on, end) = two_steps();
        let started = tokio::select! {
            biased;
            _ = &mut steps => false,
            () = std::future::ready(()) => true,
        };
        assert!(started, "it cannot have ended yet");
        drop(steps);
        go_on.send(()).expect("it still waits");
        end.await.expect("it came to its end");
    }

    #[tokio::test]
    async fn what_is_dropped_before_it_began_happens_all_the_same() {
        let (steps, go_on, end) = two_steps();
        drop(steps);
        go_on.send(()).expect("it waits");
        end.await.expect("it came to its end");
    }
}
