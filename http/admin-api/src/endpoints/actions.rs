//! What the operators of a platform did.

use axum::response::Response;
use linkspan_operators::Action;
use linkspan_wire::{ApiError, App, Operator, WholeRequest, json_answer};
use serde_json::{Value, json};

use super::{Page, next_batch};

pub(crate) async fn list_actions(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let page: Page = request.query()?;
    let (platform, limit) = (operator.platform.server_name().to_owned(), page.limit()?);
    let actions = app.operators.list_actions(&platform, page.place()?, limit).await?;
    let next = next_batch(&actions, limit, |last| last.number.to_string());
    let actions: Vec<Value> = actions.iter().map(to_wire).collect();
    Ok(json_answer(&json!({ "actions": actions, "next_batch": next })))
}

fn to_wire(Action { number, record }: &Action) -> Value {
    json!({
        "number": number,
        "ts": record.ts,
        "operator": record.operator,
        "action": record.action,
        "subjects": record.subjects,
        "status": record.status,
    })
}
