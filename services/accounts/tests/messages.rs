//! Messages while whoever carries them is slow: nobody waits, and there are never too many.

use std::{sync::Arc, time::Duration};

use linkspan_accounts::{
    Accounts, AccountsError, Courier, Message, Sending, ThirdPartyId, ValidationPurpose, ValidationRequest,
};
use linkspan_platforms::{Platform, Platforms};
use linkspan_storage::{Memory, Store};
use ruma::ServerName;
use serde_json::json;
use tokio::sync::Semaphore;

const NOW: u64 = 1_700_000_000_000;

/// Carries nothing until it is let go.
struct Slow(Arc<Semaphore>);

impl Courier for Slow {
    fn send<'a>(&'a self, _: &'a ServerName, _: Message) -> Sending<'a> {
        Box::pin(async move {
            let _let_go = self.0.acquire().await.expect("it is open");
            Ok(())
        })
    }
}

/// Loses everything.
struct Down;

impl Courier for Down {
    fn send<'a>(&'a self, _: &'a ServerName, _: Message) -> Sending<'a> {
        Box::pin(async { Err("nobody is there".to_owned()) })
    }
}

async fn platforms(store: &Store) -> Vec<Arc<Platform>> {
    let sms = json!({ "gateway": "https://sms.example", "secret": "a secret" });
    let email = json!({ "smtp": "smtp://localhost", "from": "robot@example.org" });
    let settings = ["one", "two"].map(|name| {
        json!({ "name": name, "server_name": format!("{name}.localhost"), "rate_limits": false,
                "email": email, "sms": sms })
    });
    let settings = serde_json::from_value(json!(settings)).expect("settings");
    Platforms::open(store, settings, NOW).await.expect("platforms").iter().collect()
}

async fn ask(accounts: &Accounts, platform: &Platform, id: ThirdPartyId) -> Result<String, AccountsError> {
    let request = ValidationRequest {
        purpose: ValidationPurpose::Register,
        id,
        client_secret: "monkeys".into(),
        send_attempt: 1,
        next_link: None,
        page: String::new(),
        by_page: false,
        from: [127, 0, 0, 1].into(),
    };
    accounts.request_validation(platform, request, NOW).await
}

fn number(number: u32) -> ThirdPartyId {
    ThirdPartyId::phone("DE", &format!("0170 {}", 1_000_000 + number)).expect("a number")
}

#[tokio::test]
async fn nobody_waits_for_a_slow_gateway_and_it_holds_up_nothing_else() {
    let store = Store::in_memory(Memory::new().expect("an engine"));
    let (let_go, platforms) = (Arc::new(Semaphore::new(0)), platforms(&store).await);
    let accounts = Accounts::new(store).with_courier(Arc::new(Slow(let_go.clone())));
    for one in 0..128 {
        ask(&accounts, &platforms[0], number(one)).await.expect("it is on its way");
    }
    let full = ask(&accounts, &platforms[0], number(128)).await;
    assert!(matches!(full, Err(AccountsError::TooManyMessages { .. })), "{full:?}");
    let mail = ThirdPartyId::email("anna@example.org").expect("an address");
    ask(&accounts, &platforms[0], mail).await.expect("mails have their own way");
    ask(&accounts, &platforms[1], number(128)).await.expect("and so has another platform");

    let_go.add_permits(1);
    // Who was refused asks again with the same number, which now sends the message.
    let again = async {
        while ask(&accounts, &platforms[0], number(128)).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("there is room again");
}

#[tokio::test]
async fn a_gateway_that_is_down_fills_nothing_up() {
    let store = Store::in_memory(Memory::new().expect("an engine"));
    let platforms = platforms(&store).await;
    let accounts = Accounts::new(store).with_courier(Arc::new(Down));
    for one in 0..300 {
        ask(&accounts, &platforms[0], number(one)).await.expect("nobody learns that it is lost");
        tokio::task::yield_now().await;
    }
}
