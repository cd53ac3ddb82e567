//! The person's session: how it begins, goes on after a restart of the program, and ends.

use std::{path::PathBuf, pin::pin};

use futures_util::StreamExt;
use matrix_sdk::{
    Client,
    encryption::{BackupDownloadStrategy, EncryptionSettings},
    ruma::{
        api::client::{
            account::register,
            uiaa::{AuthData, Dummy},
        },
        assign,
    },
    sliding_sync::VersionBuilder,
    utils::UrlOrQuery,
};
use serde_json::json;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    Command, Refused,
    commands::{self, Answer, done},
    devices::Devices,
    keys, oauth,
    seen::Seen,
    sliding::Sliding,
    verification,
};

/// How a session is kept and synced.
#[derive(Clone)]
struct Settings {
    server: String,
    /// The folder in which the session is kept. None if it ends with the program.
    store: Option<PathBuf>,
    encrypted: bool,
    sliding: bool,
}

impl Settings {
    fn new(command: &Command) -> Result<Self, Refused> {
        Ok(Self {
            server: command.text("server")?.to_owned(),
            store: command.optional("store").map(PathBuf::from),
            encrypted: command.yes("encrypted"),
            sliding: command.optional("sync") == Some("sliding"),
        })
    }

    async fn client(&self) -> Result<Client, Refused> {
        let encryption = EncryptionSettings {
            backup_download_strategy: BackupDownloadStrategy::OneShot,
            ..EncryptionSettings::default()
        };
        let mut builder = Client::builder()
            .homeserver_url(&self.server)
            .with_encryption_settings(encryption)
            .handle_refresh_tokens();
        if let Some(store) = &self.store {
            builder = builder.sqlite_store(store, None);
        }
        if self.sliding {
            builder = builder.sliding_sync_version_builder(VersionBuilder::DiscoverNative);
        }
        Ok(builder.build().await?)
    }
}

/// Somebody with a session, or on the way to one.
#[derive(Default)]
pub(crate) struct Person {
    session: Option<(Settings, Client)>,
    /// A session that the person's browser has not allowed yet.
    asking: Option<(Settings, Client)>,
    sliding: Option<Sliding>,
    tasks: JoinSet<()>,
}

impl Person {
    pub(crate) async fn stop(&mut self) {
        self.tasks.shutdown().await;
        if let Some(mut sliding) = self.sliding.take() {
            sliding.stop().await;
        }
    }

    pub(crate) async fn obey(&mut self, command: &Command) -> Answer {
        match command.text("do")? {
            "register" => self.register(command).await,
            "login" => self.log_in(command).await,
            "oauth_begin" => self.begin_oauth(command).await,
            "oauth_finish" => self.finish_oauth(command).await,
            "oauth_refresh" => self.refresh().await,
            "oauth_tokens" => self.tokens(),
            "start" => self.start(false).await,
            "reload" => self.reload().await,
            "logout" => self.log_out().await,
            name => self.obey_as_somebody(name, command).await,
        }
    }

    async fn obey_as_somebody(&mut self, name: &str, command: &Command) -> Answer {
        let (_, client) = self.session.as_ref().ok_or_else(|| Refused::new("not logged in"))?;
        if let Some(sliding) = &mut self.sliding
            && let Some(answer) = sliding.obey(client, name, command).await
        {
            return answer;
        }
        if let Some(answer) = verification::obey(client, name, command).await {
            return answer;
        }
        if let Some(answer) = keys::obey(client, name, command).await {
            return answer;
        }
        if let Some(answer) = commands::with_client(client, name, command).await {
            return answer;
        }
        commands::in_room(client, name, command, &command.room(client)?).await
    }

    async fn register(&mut self, command: &Command) -> Answer {
        let settings = Settings::new(command)?;
        let client = settings.client().await?;
        let request = assign!(register::v3::Request::new(), {
            username: command.owned("username"),
            password: command.owned("password"),
            initial_device_display_name: command.owned("device_name"),
            auth: Some(AuthData::Dummy(Dummy::new())),
        });
        client.matrix_auth().register(request).await?;
        self.begin(settings, client).await
    }

    async fn log_in(&mut self, command: &Command) -> Answer {
        let settings = Settings::new(command)?;
        let client = settings.client().await?;
        let auth = client.matrix_auth();
        let mut login = auth.login_username(command.text("username")?, command.text("password")?);
        if let Some(name) = command.optional("device_name") {
            login = login.initial_device_display_name(name);
        }
        login.send().await?;
        self.begin(settings, client).await
    }

    async fn begin_oauth(&mut self, command: &Command) -> Answer {
        let settings = Settings::new(command)?;
        let client = settings.client().await?;
        let page = oauth::begin(&client, command).await?;
        self.asking = Some((settings, client));
        Ok(page)
    }

    async fn finish_oauth(&mut self, command: &Command) -> Answer {
        let (settings, client) = self.asking.take().ok_or_else(|| Refused::new("nothing was begun"))?;
        let redirected = command.text("url")?.split_once('?').map_or("", |(_, query)| query);
        client.oauth().finish_login(UrlOrQuery::Query(redirected.to_owned())).await?;
        self.begin(settings, client).await
    }

    async fn refresh(&mut self) -> Answer {
        let (_, client) = self.session.as_ref().ok_or_else(|| Refused::new("not logged in"))?;
        client.oauth().refresh_access_token().await?;
        oauth::tokens(client)
    }

    fn tokens(&self) -> Answer {
        let (_, client) = self.session.as_ref().ok_or_else(|| Refused::new("not logged in"))?;
        oauth::tokens(client)
    }

    async fn begin(&mut self, settings: Settings, client: Client) -> Answer {
        client.encryption().wait_for_e2ee_initialization_tasks().await;
        let session =
            json!({ "user": client.user_id(), "device": client.device_id(), "token": client.access_token() });
        self.session = Some((settings, client));
        Ok(session)
    }

    async fn start(&mut self, again: bool) -> Answer {
        let (settings, client) = self.session.clone().ok_or_else(|| Refused::new("not logged in"))?;
        let devices = Devices::new(client.clone());
        if settings.encrypted {
            verification::listen(&client);
            self.tasks.spawn(devices.clone().follow().await?);
        }
        let mut seen = Seen::new(client.clone(), devices);
        if settings.sliding {
            let mut news = pin!(client.encryption().devices_stream().await?);
            let updates = client.subscribe_to_all_room_updates();
            let (open, opened) = mpsc::unbounded_channel();
            self.sliding = Some(Sliding::start(&client, open).await?);
            self.tasks.spawn(seen.follow_sliding(updates, opened));
            // The library hears of a device when its keys are uploaded, its own device included.
            while let Err(refused) = keys::check_uploaded(&client).await {
                news.next().await.ok_or(refused)?;
            }
        } else {
            let next = seen.sync(None).await?;
            if again {
                seen.show_all_rooms().await?;
            }
            if settings.encrypted {
                keys::check_uploaded(&client).await?;
                self.tasks.spawn(seen.undecrypted().follow().await?);
            }
            self.tasks.spawn(seen.sync_forever(next));
        }
        done()
    }

    async fn reload(&mut self) -> Answer {
        self.stop().await;
        let (settings, client) = self.session.take().ok_or_else(|| Refused::new("not logged in"))?;
        if settings.store.is_none() {
            return Err(Refused::unsupported("a session without a store ends with the program"));
        }
        let session = client.session().ok_or_else(|| Refused::new("not logged in"))?;
        drop(client);
        let client = settings.client().await?;
        client.restore_session(session).await?;
        self.begin(settings, client).await?;
        self.start(true).await
    }

    async fn log_out(&mut self) -> Answer {
        self.stop().await;
        if let Some((_, client)) = self.session.take() {
            client.logout().await?;
        }
        done()
    }
}
