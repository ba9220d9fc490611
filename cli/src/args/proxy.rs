//! The arguments of `proxy`, and where it may listen.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use clap::Args;

use super::help_text;

#[derive(Args, Debug)]
pub(crate) struct ProxyArguments {
    #[arg(long, help = help_text::LISTEN, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) listen: ListenAddress,
    #[arg(long, help = help_text::TOKEN_FILE, value_name = "PATH")]
    pub(crate) token_file: Option<PathBuf>,
}

/// Where the proxy listens: never where another machine could connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err("unix: needs a path, such as unix:/run/user/1000/proxy.sock".to_owned());
            }
            return Ok(Self::Unix(path.into()));
        }
        let address: SocketAddr = text
            .parse()
            .map_err(|_| format!("write {} (names such as localhost are not looked up)", help_text::LISTEN_FORMS))?;
        if !address.ip().is_loopback() {
            return Err(format!(
                "{} is not a loopback address: other machines could connect to it and read what is sent, for nothing is \
                 encrypted; use 127.0.0.1:{}",
                address.ip(),
                address.port()
            ));
        }
        Ok(Self::Tcp(address))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_meant() {
        for text in ["127.0.0.1:0", "127.0.0.2:80", "[::1]:7700", "unix:/tmp/a b.sock", "unix:relative.sock"] {
            let address: ListenAddress = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_others_could_reach_is_refused_with_the_reason() {
        for text in ["0.0.0.0:7700", "[::]:7700", "192.168.1.2:7700", "[fe80::1]:7700", "[::ffff:10.0.0.1]:7700"] {
            let error = text.parse::<ListenAddress>().expect_err("it is not loopback");
            assert!(error.contains("not a loopback address") && error.contains("127.0.0.1:7700"), "{error}");
        }
        for text in ["", "localhost:7700", "7700", "127.0.0.1", "127.0.0.1:70000", "/tmp/x.sock"] {
            let error = text.parse::<ListenAddress>().expect_err("it is no address");
            assert!(error.contains(help_text::LISTEN_FORMS), "{error}");
        }
        assert!("unix:".parse::<ListenAddress>().is_err());
    }
}
