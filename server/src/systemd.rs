//! Telling systemd how the server is, by its protocol `sd_notify`: a datagram of `NAME=value` to a socket that the
//! environment names. Without systemd nothing is told.

use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    process,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// Whom to tell.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Reads from the environment whether somebody wants to be told. If that one cannot be reached, the log says so.
    pub(crate) fn from_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        let name = name.to_string_lossy();
        let socket = connect(&name)
            .inspect_err(|error| tracing::warn!(%error, "NOTIFY_SOCKET cannot be reached"))
            .ok();
        let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|us| is_meant && *us > 0).map(Duration::from_micros);
        Self { socket, watchdog }
    }

    /// How often it wants to hear that the server is well, at least.
    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Says that the server listens everywhere.
    pub(crate) fn ready(&self) {
        self.tell("READY=1");
    }

    /// Says that the server reads its configuration again. It is over when [`Self::ready`] is told.
    pub(crate) fn reloading(&self) {
        // systemd compares this with the time at which it has asked for it.
        let now = clock_gettime(ClockId::Monotonic);
        let us = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={us}"));
    }

    /// Says that the server is about to end.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Says that the server is well, if that is wanted.
    pub(crate) fn beat(&self) {
        if self.watchdog.is_some() {
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, state: &str) {
        if let Some(Err(error)) = self.socket.as_ref().map(|socket| socket.send(state.as_bytes())) {
            tracing::debug!(%error, state, "systemd could not be told");
        }
    }
}

/// A socket that sends there. A name that starts with `@` is not a file.
fn connect(name: &str) -> io::Result<UnixDatagram> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // Whoever does not read holds nobody up.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_arrive_and_beats_only_if_they_are_wanted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).expect("a socket");
        systemd.set_nonblocking(true).expect("it can be set");
        let heard = || {
            let mut bytes = [0; 64];
            let length = systemd.recv(&mut bytes).unwrap_or_default();
            String::from_utf8_lossy(&bytes[..length]).into_owned()
        };
        let socket = Some(connect(path.to_str().expect("text")).expect("it listens"));
        let mut notifier = Notifier { socket, watchdog: None };
        notifier.ready();
        assert_eq!(heard(), "READY=1");
        notifier.beat();
        assert_eq!(heard(), "");
        notifier.watchdog = Some(Duration::from_secs(1));
        notifier.beat();
        assert_eq!(heard(), "WATCHDOG=1");
        notifier.reloading();
        let told = heard();
        let us = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("it says when");
        assert!(us.parse::<u64>().expect("a number") > 0, "{told}");
        notifier.stopping();
        assert_eq!(heard(), "STOPPING=1");
    }
}
