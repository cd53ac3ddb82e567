//! The platform that a command for operators works on, in the store of a server that is stopped.

use std::sync::Arc;

use linkspan_accounts::Accounts;
use linkspan_directory::Directory;
use linkspan_platforms::Platforms;
use linkspan_rooms::Rooms;
use linkspan_wire::now_ts;
use ruma::OwnedServerName;

use crate::{ConfigPath, Failure, config::Config, read_config, services};

/// The arguments that name a platform.
#[derive(Debug, clap::Args)]
pub(crate) struct OnPlatform {
    #[command(flatten)]
    config: ConfigPath,
    /// The platform's name or server name.
    platform: String,
}

impl OnPlatform {
    /// The configuration, and the platform's server name.
    pub(crate) fn find(&self) -> Result<(Config, OwnedServerName), Failure> {
        let config = read_config(&self.config.config)?;
        let platform = find_platform(&config, &self.platform)?;
        Ok((config, platform))
    }

    /// The accounts of the store, and the platform's server name.
    pub(crate) async fn open(&self) -> Result<(Accounts, OwnedServerName), Failure> {
        let (config, platform) = self.find()?;
        let store = services::open_store(&config).await?;
        let platforms = Arc::new(Platforms::open(&store, config.platforms, now_ts()).await?);
        let directory = Directory::new(store.clone(), platforms.clone());
        Ok((linkspan_lifecycle::accounts(store, platforms, directory), platform))
    }

    /// The rooms of the store, and the platform's server name.
    pub(crate) async fn open_rooms(&self) -> Result<(Rooms, OwnedServerName), Failure> {
        let (config, platform) = self.find()?;
        Ok((services::rooms(&config).await?, platform))
    }
}

fn find_platform(config: &Config, wanted: &str) -> Result<OwnedServerName, Failure> {
    let found = config.platforms.iter().find(|it| it.name == wanted || it.server_name.as_str() == wanted);
    found.map(|platform| platform.server_name.clone()).ok_or_else(|| {
        let names: Vec<_> = config.platforms.iter().map(|platform| platform.name.as_str()).collect();
        format!("there is no platform {wanted:?}; there are {}", names.join(", ")).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_found_by_both_its_names() {
        let text = "data = \"d\"\nlisten.http = \"127.0.0.1:8008\"\n[[platform]]\nname = \"one\"\n\
            server_name = \"one.localhost\"\n";
        let config = Config::parse(text, &std::env::temp_dir(), None).config.expect("it is good");
        for wanted in ["one", "one.localhost"] {
            assert_eq!(find_platform(&config, wanted).expect("it is found"), "one.localhost");
        }
        let failure = find_platform(&config, "two").expect_err("there is none");
        assert!(failure.to_string().contains("there are one"), "{failure}");
    }
}
