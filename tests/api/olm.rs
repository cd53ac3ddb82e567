//! The keys of the clients in these tests.

pub(crate) use linkspan_tests::olm::{Identity, OlmDevice, signed};

use linkspan_tests::olm::Owner;

use crate::network::Client;

impl Owner for Client {
    fn user_id(&self) -> &str {
        &self.user_id
    }

    fn device_id(&self) -> &str {
        &self.device_id
    }
}
