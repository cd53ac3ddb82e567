//! What endpoints call: the services.

use std::{ops::Deref, sync::Arc};

pub use linkspan_lifecycle::Services;

/// All services, as endpoints get them. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct App(Arc<Services>);

impl From<Services> for App {
    fn from(services: Services) -> Self {
        Self(Arc::new(services))
    }
}

impl Deref for App {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
    }
}
