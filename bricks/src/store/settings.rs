//! Where the store keeps models and how it fetches them, as the environment says.
use std::{ffi::OsString, fmt, path::PathBuf, time::Duration};

use super::{ReferenceError, reference::check_address};

/// A secret that shows itself nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Whether the network may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// It may.
    Allowed,
    /// It may not.
    Forbidden {
        /// The flag or environment variable that says so.
        by: &'static str,
    },
}

/// How long a download is patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How many times in a row it may fail without a single new byte.
    pub attempts: u32,
    /// Wait before the second attempt; doubles with each failure up to 30 s.
    pub first_wait: Duration,
    /// How long a server may be silent.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { attempts: 6, first_wait: Duration::from_millis(500), silence: Duration::from_secs(30) }
    }
}

/// Where the store keeps models and how it fetches them.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The store's folder.
    pub home: PathBuf,
    /// Cache of the Hugging Face clients, where models that are already there are read; never written.
    pub hub_cache: Option<PathBuf>,
    /// Address of the hub.
    pub hub_endpoint: String,
    /// Sent to the hub, and to nobody else.
    pub hub_token: Option<Token>,
    /// Whether the network may be used.
    pub network: Network,
    /// How long a download is patient.
    pub patience: Patience,
    /// Where the Python programs are looked for; `PATH` of this process where absent.
    pub program_path: Option<OsString>,
}

/// The environment says something that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Nowhere to keep models.
    #[error("there is no folder to keep models in: none of NANOMIND_HOME, XDG_CACHE_HOME and HOME is set")]
    NoHome,
    /// The hub's address is no good.
    #[error("HF_ENDPOINT: {0}")]
    Endpoint(#[from] ReferenceError),
}

impl StoreSettings {
    /// What this process's environment says.
    ///
    /// # Errors
    /// Fails without a home folder or with an unusable `HF_ENDPOINT`.
    pub fn from_environment() -> Result<StoreSettings, SettingsError> {
        StoreSettings::from_variables(|name| std::env::var_os(name))
    }

    /// What the variables say that `variable` knows: `NANOMIND_HOME`, `NANOMIND_OFFLINE`, `XDG_CACHE_HOME`, `HOME`,
    /// `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE`, `HF_ENDPOINT`, `HF_TOKEN`. Empty ones count as unset.
    ///
    /// # Errors
    /// As [`StoreSettings::from_environment`].
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<StoreSettings, SettingsError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let folder = |name: &str| variable(name).map(PathBuf::from);
        let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
        // The XDG specification says to ignore a relative path.
        let user_cache = folder("XDG_CACHE_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| folder("HOME").map(|home| home.join(".cache")));
        let home = folder("NANOMIND_HOME").or_else(|| user_cache.as_ref().map(|cache| cache.join("nanomind")));
        let hub_home = folder("HF_HOME").or_else(|| user_cache.map(|cache| cache.join("huggingface")));
        let hub_endpoint = text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        check_address(&hub_endpoint)?;
        let network =
            ["NANOMIND_OFFLINE", "HF_HUB_OFFLINE"].into_iter().find(|name| text(name).is_some_and(|v| is_on(&v)));
        Ok(StoreSettings {
            home: home.ok_or(SettingsError::NoHome)?,
            hub_cache: folder("HF_HUB_CACHE").or_else(|| hub_home.map(|home| home.join("hub"))),
            hub_endpoint,
            hub_token: text("HF_TOKEN").map(|token| Token(token.trim().into())),
            network: network.map_or(Network::Allowed, |by| Network::Forbidden { by }),
            patience: Patience::default(),
            program_path: None,
        })
    }
}

fn is_on(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "0" | "false" | "off" | "no" | "n" | "f")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<StoreSettings, SettingsError> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        StoreSettings::from_variables(find)
    }

    #[track_caller]
    fn folders(variables: &[(&str, &str)]) -> (PathBuf, PathBuf) {
        let settings = settings(variables).expect("good settings");
        (settings.home, settings.hub_cache.expect("a hub cache"))
    }

    #[test]
    fn folders_follow_xdg_and_the_hub_clients() {
        let at = |home: &str, hub: &str| (Path::new(home).into(), Path::new(hub).into());
        assert_eq!(folders(&[("HOME", "/h")]), at("/h/.cache/nanomind", "/h/.cache/huggingface/hub"));
        let xdg = ("XDG_CACHE_HOME", "/x");
        assert_eq!(folders(&[("HOME", "/h"), xdg]), at("/x/nanomind", "/x/huggingface/hub"));
        assert_eq!(folders(&[("HOME", "/h"), ("XDG_CACHE_HOME", "x")]).0, Path::new("/h/.cache/nanomind"));
        assert_eq!(folders(&[xdg, ("NANOMIND_HOME", "/n")]).0, Path::new("/n"));
        assert_eq!(folders(&[xdg, ("HF_HOME", "/f")]).1, Path::new("/f/hub"));
        assert_eq!(folders(&[xdg, ("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")]).1, Path::new("/c"));
        assert!(matches!(settings(&[]), Err(SettingsError::NoHome)));
    }

    #[test]
    fn either_offline_variable_forbids_the_network_and_is_named() {
        let network = |name, value| settings(&[("HOME", "/h"), (name, value)]).expect("good settings").network;
        assert_eq!(network("HF_HUB_OFFLINE", "1"), Network::Forbidden { by: "HF_HUB_OFFLINE" });
        assert_eq!(network("NANOMIND_OFFLINE", "true"), Network::Forbidden { by: "NANOMIND_OFFLINE" });
        assert_eq!(network("NANOMIND_OFFLINE", "0"), Network::Allowed);
        assert_eq!(network("HF_HUB_OFFLINE", ""), Network::Allowed);
    }

    #[test]
    fn a_token_is_never_shown() {
        let settings = settings(&[("HOME", "/h"), ("HF_TOKEN", "hf_secret\n")]).expect("good settings");
        assert_eq!(settings.hub_token.as_ref().map(Token::secret), Some("hf_secret"));
        assert!(!format!("{settings:?}").contains("hf_secret"));
    }

    #[test]
    fn an_unencrypted_hub_is_refused() {
        let error = settings(&[("HOME", "/h"), ("HF_ENDPOINT", "http://hub.example")]).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "HF_ENDPOINT: http://hub.example is unencrypted; use https (http is only for addresses of this machine)"
        );
    }
}
