//! Which accounts are linked with others.
//!
//! Operators see accounts of their own platform. Of an account elsewhere they see the platform that it is on, which says
//! what kind of link it is, and not whose it is.

use axum::response::Response;
use linkspan_storage::records::AccountLinksRecord;
use linkspan_wire::{ApiError, App, Operator, WholeRequest, json_answer};
use ruma::OwnedUserId;
use serde_json::{Value, json};

use super::{Page, next_batch};

pub(crate) async fn list_account_links(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let page: Page = request.query()?;
    let (platform, limit) = (operator.platform.server_name().to_owned(), page.limit()?);
    let links = app.accounts.list_account_links(&platform, page.place()?.as_ref(), limit).await?;
    let next = next_batch(&links, limit, |(last, _)| last.to_string());
    let links: Vec<Value> = links.iter().map(|(user_id, links)| to_wire(user_id, links)).collect();
    Ok(json_answer(&json!({ "account_links": links, "next_batch": next })))
}

fn to_wire(user_id: &OwnedUserId, links: &AccountLinksRecord) -> Value {
    let other = |(other, since_ts): &(OwnedUserId, u64)| {
        let is_own = other.server_name() == user_id.server_name();
        json!({
            "platform": other.server_name(),
            "user_id": is_own.then_some(other),
            "since_ts": since_ts,
        })
    };
    json!({ "user_id": user_id, "linked_with": links.others.iter().map(other).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use ruma::owned_user_id;

    use super::*;

    #[test]
    fn accounts_of_other_platforms_are_not_named() {
        let (own, other) = (owned_user_id!("@anna2:one.localhost"), owned_user_id!("@ann:two.localhost"));
        let links = AccountLinksRecord {
            others: vec![(own.clone(), 5), (other.clone(), 7)],
            shown: true,
            arrive_at: Some(other),
        };
        let anna = owned_user_id!("@anna:one.localhost");
        let expected = json!({ "user_id": anna, "linked_with": [
            { "platform": "one.localhost", "user_id": own, "since_ts": 5 },
            { "platform": "two.localhost", "user_id": null, "since_ts": 7 },
        ] });
        assert_eq!(to_wire(&anna, &links), expected);
    }
}
