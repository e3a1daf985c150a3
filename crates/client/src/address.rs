//! The gateway's address, as people type it.

use reqwest::Url;

use crate::error::{ClientError, Result};

/// `https://host[:port]`, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayUrl(Url);

impl GatewayUrl {
    /// Reads `gw.example.org`, `gw.example.org:8443` or `https://gw.example.org`.
    ///
    /// # Errors
    /// When it is no address, not HTTPS, or carries a user, path or query.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let text = text.strip_suffix('/').filter(|rest| !rest.ends_with('/')).unwrap_or(text);
        let wrong = |why: &str| {
            ClientError::usage("HOOP-1005", format!("{text:?} is not a gateway's address: {why}"))
                .hint("write it like https://hoop.example.org or https://hoop.example.org:8443")
        };
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let url = Url::parse(&with_scheme).map_err(|error| wrong(&error.to_string()))?;
        if url.scheme() != "https" {
            return Err(wrong("it must begin with https://"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("there is no host in it"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it must not carry a name or password"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("nothing may follow the host and port"));
        }
        Ok(Self(url))
    }

    /// The URL of an API path, with a query.
    #[must_use]
    pub fn api(&self, path: &str, query: &[(&str, String)]) -> Url {
        self.page(&format!("{}{path}", hoop_api::PREFIX), query)
    }

    /// The URL of a page, with a query.
    #[must_use]
    pub fn page(&self, path: &str, query: &[(&str, String)]) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

impl std::fmt::Display for GatewayUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_understood() {
        for (text, wanted) in [
            ("gw.test", "https://gw.test"),
            ("gw.test:8443", "https://gw.test:8443"),
            (" https://gw.test/ ", "https://gw.test"),
            ("https://[::1]:8443", "https://[::1]:8443"),
            ("127.0.0.1:1", "https://127.0.0.1:1"),
        ] {
            assert_eq!(GatewayUrl::parse(text).unwrap().to_string(), wanted);
        }
    }

    #[test]
    fn what_is_not_a_gateway_is_refused() {
        for text in [
            "",
            "http://gw.test",
            "ftp://gw.test",
            "https://",
            "https://ada:pw@gw.test",
            "https://gw.test/path",
            "https://gw.test?x=1",
            "https://gw.test#x",
            "https://gw.test:99999",
            "a b",
            "https://gw.test:8443:1",
        ] {
            assert!(GatewayUrl::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_query_cannot_break_out_of_its_value() {
        let url = GatewayUrl::parse("gw.test").unwrap().api("/sessions", &[("user", "a&b=c#d".into())]);
        assert_eq!(url.as_str(), "https://gw.test/api/v1/sessions?user=a%26b%3Dc%23d");
    }
}
