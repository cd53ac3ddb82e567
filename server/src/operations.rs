//! What the operator of the whole back-end asks of a server that no service does: backups, and reading the configuration
//! again.

use std::{path::PathBuf, sync::Arc};

use axum::response::Response;
use hyper::Method;
use linkspan_platforms::RateClass::Other;
use linkspan_storage::Store;
use linkspan_wire::{ApiError, App, BackEndOperator, Endpoint, WholeRequest, json_answer, raw_endpoint};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;

use crate::{
    backup::{self, Pace},
    config::Config,
    media,
    reload::Reloading,
};

/// What operations need.
pub(crate) struct Operations {
    store: Store,
    data: PathBuf,
    /// The folder of media, if they are in no bucket.
    media: Option<PathBuf>,
    /// Held by the backup that is being made.
    backing_up: Mutex<()>,
    reloading: Reloading,
}

impl Operations {
    pub(crate) fn new(config: &Config, store: Store, reloading: Reloading) -> Self {
        let media = config.media.is_none().then(|| media::media_folder(&config.data));
        Self { store, data: config.data.clone(), media, backing_up: Mutex::default(), reloading }
    }

    /// The table of their endpoints.
    pub(crate) fn endpoints(self) -> Vec<Endpoint> {
        let reloading = self.reloading.clone();
        let reload = move |_: App, operator: BackEndOperator, request: WholeRequest| {
            reload(reloading.clone(), operator, request)
        };
        let operations = Arc::new(self);
        let back_up = move |_: App, operator: BackEndOperator, request: WholeRequest| {
            back_up(operations.clone(), operator, request)
        };
        vec![
            raw_endpoint(
                Method::POST,
                &["/_linkspan/admin/v1/backup"],
                back_up,
                Other,
                "docs/openapi/admin-v1.json#back_up",
            )
            .named("back_up"),
            raw_endpoint(
                Method::POST,
                &["/_linkspan/admin/v1/reload"],
                reload,
                Other,
                "docs/decisions/0036-settings-change-live.md",
            )
            .named("reload"),
        ]
    }
}

/// What is asked of a reload.
#[derive(Default, Deserialize)]
struct CheckOnly {
    /// Nothing is to be changed, and this is looked at instead of the server's own configuration.
    check: Option<Checked>,
}

#[derive(Deserialize)]
struct Checked {
    text: String,
    /// Where its file is.
    folder: PathBuf,
}

async fn reload(
    reloading: Reloading,
    _: BackEndOperator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Some(reloader) = reloading.get() else {
        return Err(ApiError::operation_failed("no server runs: it reads the configuration when it starts"));
    };
    let CheckOnly { check } = if request.body.is_empty() { CheckOnly::default() } else { request.json()? };
    let outcome = match check {
        Some(Checked { text, folder }) => reloader.check(&text, &folder).await,
        None => reloader.reload().await,
    };
    match outcome {
        Ok(applied) => Ok(json_answer(&json!(applied))),
        Err(mistakes) => Err(ApiError::operation_failed(mistakes.join("\n"))),
    }
}

#[derive(Deserialize)]
struct NewBackup {
    /// An absolute path.
    folder: PathBuf,
}

async fn back_up(
    operations: Arc<Operations>,
    _: BackEndOperator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let NewBackup { folder } = request.json()?;
    if !folder.is_absolute() {
        return Err(ApiError::invalid_param("the folder of a backup is an absolute path"));
    }
    let make = move || {
        let _only = operations.backing_up.try_lock().ok_or("another backup is being made")?;
        let Operations { store, data, media, .. } = &*operations;
        let source = backup::Source { store, media: media.as_deref(), data };
        let made = backup::make(&source, &folder, Pace::Gentle);
        made.map(|made| made.to_string()).map_err(|failure| failure.to_string())
    };
    // It takes long, and what it reads is much.
    let made = tokio::task::spawn_blocking(make).await.map_err(|error| ApiError::internal(&error))?;
    let told = made.map_err(ApiError::operation_failed)?;
    Ok(json_answer(&json!({ "told": told })))
}
