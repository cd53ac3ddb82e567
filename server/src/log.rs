//! The log: what is told, and as what.
//!
//! It is told on standard error, a line for each event. A request is one line at `debug`. Nothing in it says who asked
//! for what: no ids, tokens or contents.

use std::{io::IsTerminal, time::Duration};

use linkspan_wire::RequestId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::Failure;

/// The environment variable that says what is logged, such as `debug` or `info,linkspan_rooms=trace`. It goes before
/// the configuration.
pub(crate) const VARIABLE: &str = "LINKSPAN_LOG";

/// What is told of crates of others. At `info` the storage engine would tell of every file, and the rules of every
/// event.
const OTHERS: &str = "fjall=warn,lsm_tree=warn,ruma_state_res=warn";

/// The settings in `[log]`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// What a line looks like.
    #[schemars(example = &"json")]
    pub(crate) format: Format,
    /// The least important events that are told.
    #[schemars(example = &"debug")]
    pub(crate) level: Level,
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// A JSON object, for programs.
    Json,
}

/// The least important events that are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Something failed that should not.
    Error,
    /// Something is not as it should be.
    Warn,
    /// What an operator may want to know.
    #[default]
    Info,
    /// Each request, too.
    Debug,
    /// Everything.
    Trace,
}

impl Log {
    /// What is told if the environment does not say it.
    fn filter(self) -> String {
        match self.level {
            Level::Error => "error".to_owned(),
            Level::Warn => "warn".to_owned(),
            Level::Info => format!("info,{OTHERS}"),
            Level::Debug => format!("debug,{OTHERS}"),
            Level::Trace => format!("trace,{OTHERS}"),
        }
    }

    /// Starts the log. It fails if the environment variable is not understood.
    pub(crate) fn start(self) -> Result<(), Failure> {
        let filter = std::env::var(VARIABLE).unwrap_or_else(|_| self.filter());
        let log = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::builder().parse(filter)?)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr);
        match self.format {
            Format::Text => log.init(),
            Format::Json => log.json().flatten_event(true).with_ansi(false).init(),
        }
        Ok(())
    }
}

/// What may be told of a request that was answered, or whose client has gone.
#[derive(Debug)]
pub(crate) struct AnsweredRequest<'a> {
    pub(crate) id: RequestId,
    /// The server name of the platform.
    pub(crate) platform: &'a str,
    pub(crate) method: &'a str,
    /// The path of the endpoint with names for its parameters.
    pub(crate) route: &'static str,
    /// None if the client has gone.
    pub(crate) status: Option<u16>,
    pub(crate) took: Duration,
}

impl AnsweredRequest<'_> {
    /// Tells of it.
    pub(crate) fn tell(&self) {
        let Self { id, platform, method, route, status, took } = self;
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(target: "linkspan::request", request = %id, platform, method, route, status, ms, "answered");
    }
}
