//! Sweeps: what has grown old is forgotten although nobody asks for it.

use http::Method;
use linkspan_storage::{
    Range, Table,
    catalogue::{AuthorizationCodes, SlidingConnections, Transactions, Validations},
};
use linkspan_wire::{Services, now_ts};
use serde_json::json;

use crate::{
    network::{INSTAGRAM, Network, PATIENCE},
    oauth_browser::{Browser, authorise},
};

const WITH_MAILS: &str = "email = { smtp = 'smtp://localhost', from = 'robot@example.org' }";

/// Later than anything is kept.
fn long_after() -> u64 {
    now_ts() + 90 * 24 * 60 * 60 * 1000
}

async fn count<T: Table>(network: &Network) -> usize {
    network.store.keys(Range::<T>::all()).await.expect("it is read").len()
}

/// How much there is that grows old, table by table.
async fn rows(network: &Network) -> [usize; 4] {
    [
        count::<Transactions>(network).await,
        count::<SlidingConnections>(network).await,
        count::<Validations>(network).await,
        count::<AuthorizationCodes>(network).await,
    ]
}

#[tokio::test]
async fn what_has_grown_old_is_swept_up() {
    let network = Network::open_with(WITH_MAILS).await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    anna.say(&room, "Ahoy").await;
    let list = json!({ "ranges": [[0, 9]], "required_state": [], "timeline_limit": 1 });
    let sliding = json!({ "conn_id": "main", "lists": { "all": list } });
    anna.post("/unstable/org.matrix.simplified_msc3575/sync", sliding).await.ok();
    let email = json!({ "client_secret": "monkeys", "email": "anna@example.org", "send_attempt": 1 });
    let path = "/v3/register/email/requestToken";
    network.call(INSTAGRAM, None, Method::POST, path, Some(email)).await.ok();
    let mut browser = Browser::new(&network);
    let client = browser.register_client(INSTAGRAM).await;
    browser.allow(INSTAGRAM, &authorise(&client, "PHONE", &[]), "anna").await;
    network.flush().await;
    assert_eq!(rows(&network).await, [1; 4]);

    let mut commits = network.store.follow();
    let sweeping = tokio::spawn(Services::clone(&network.app).sweep(long_after));
    let swept = async {
        while rows(&network).await != [0; 4] {
            commits.next().await.expect("the store is open");
        }
    };
    tokio::time::timeout(PATIENCE, swept).await.expect("all of it goes");
    sweeping.abort();
}
