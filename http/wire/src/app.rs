//! What endpoints call: the services.

use std::{ops::Deref, sync::Arc};

use linkspan_platforms::LongWork;

pub use linkspan_lifecycle::Services;

/// All services, as endpoints get them, and what requests share. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct App(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    services: Services,
    long_work: LongWork,
}

impl App {
    /// Where requests wait that take long.
    pub fn long_work(&self) -> &LongWork {
        &self.0.long_work
    }
}

impl From<Services> for App {
    fn from(services: Services) -> Self {
        Self(Arc::new(Shared { services, long_work: LongWork::new() }))
    }
}

impl Deref for App {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0.services
    }
}
