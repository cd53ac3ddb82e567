//! The platform that a command for operators works on.

use hyper::Method;
use ruma::OwnedServerName;
use serde_json::Value;

use crate::{
    ConfigPath, Failure,
    back_end::{Ask, BackEnd},
    config::Config,
    read_config,
};

/// Rows that are asked for at a time.
const PAGE: usize = 500;

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

    /// What answers for the platform: the server that runs, or the store of one that is stopped.
    pub(crate) async fn reach(&self) -> Result<Reached, Failure> {
        let (config, platform) = self.find()?;
        Ok(Reached { back_end: BackEnd::reach(&config).await?, platform })
    }
}

/// A platform that can be asked.
pub(crate) struct Reached {
    back_end: BackEnd,
    /// The platform's server name.
    pub(crate) platform: OwnedServerName,
}

impl Reached {
    /// Asks the operator API; `path` is what follows `/_linkspan/admin/v1/`.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: String,
        body: Option<Value>,
    ) -> Result<Value, Failure> {
        self.back_end.ask(Ask { method, platform: Some(&self.platform), path, body }).await
    }

    /// Asks for a list, page by page, and shows each of its rows. `list` is the path and the name of the list; `query`
    /// begins with `&` if there is any.
    pub(crate) async fn list(
        &mut self,
        list: &str,
        query: &str,
        mut show: impl FnMut(&Value),
    ) -> Result<(), Failure> {
        let name = list.rsplit('/').next().unwrap_or(list);
        let mut from = String::new();
        loop {
            let path = format!("{list}?limit={PAGE}{query}{from}");
            let answer = self.ask(Method::GET, path, None).await?;
            answer[name].as_array().into_iter().flatten().for_each(&mut show);
            match answer["next_batch"].as_str() {
                Some(next) => from = format!("&from={}", encoded(next)),
                None => return Ok(()),
            }
        }
    }
}

/// A text as a part of an address.
pub(crate) fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

pub(crate) fn find_platform(config: &Config, wanted: &str) -> Result<OwnedServerName, Failure> {
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
