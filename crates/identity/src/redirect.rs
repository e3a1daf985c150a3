//! Where a browser may be sent after sign-in: a path of our own origin, and nowhere else.

/// A path that was checked: absolute, of the same origin, harmless in a `Location` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnPath(String);

/// Longest path.
const MAX_BYTES: usize = 2048;

impl ReturnPath {
    /// The front page.
    #[must_use]
    pub fn home() -> Self {
        Self("/".into())
    }

    /// Checks a path that a browser (or whoever wrote its link) asked for. `None`: send it home instead.
    ///
    /// Browsers read `\` as `/`, drop tabs and newlines inside a URL, and take `//` for another host: none of these pass,
    /// neither plainly nor percent-encoded at the start, should something on the way decode it, nor by dot segments
    /// (`/..//evil` is `//evil` once resolved).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain =
            text.len() <= MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        let lower = text.to_ascii_lowercase();
        let second = lower.strip_prefix('/')?;
        let leaves =
            second.starts_with(['/', '\\']) || second.starts_with("%2f") || second.starts_with("%5c");
        let dots =
            lower.split(['?', '#']).next().is_some_and(|path| path.contains("/.") || path.contains("/%2e"));
        (plain && !leaves && !dots && !names_control(&lower)).then(|| Self(text.to_owned()))
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A percent-encoded control character.
fn names_control(lower: &str) -> bool {
    lower.split('%').skip(1).any(|after| {
        let mut digits = after.chars();
        matches!((digits.next(), digits.next()), (Some('0' | '1'), Some('0'..='9' | 'a'..='f')) | (Some('7'), Some('f')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_of_our_own_are_kept() {
        for path in
            ["/", "/sessions", "/sessions/ses_x?tab=1#end", "/a//b", "/a%2fb", "/?q=%20x", "/@x", "/:80"]
        {
            assert_eq!(ReturnPath::parse(path).unwrap().as_str(), path);
        }
    }

    #[test]
    fn whatever_leaves_is_refused() {
        let hostile = [
            "",
            "evil",
            "evil.example",
            "//evil.example",
            "///evil",
            "/\\evil",
            "\\evil",
            "\\\\evil",
            "/\t/evil",
            "/\n/evil",
            "\n//evil",
            " //evil",
            "/ /evil",
            "https://evil",
            "http:evil",
            "javascript:alert(1)",
            "data:text/html,x",
            "/%2fevil",
            "/%2Fevil",
            "/%5cevil",
            "/%5Cevil",
            "/x\r\nSet-Cookie: a=b",
            "/x\0",
            "/x%0d%0aset-cookie:a",
            "/x%00",
            "/x%7f",
            "/é",
            "/..//evil",
            "/.//evil",
            "/x/../..//evil",
            "/%2e%2e//evil",
            "/\u{202e}x",
            "/a\\b",
        ];
        for path in hostile {
            assert_eq!(ReturnPath::parse(path), None, "{path:?}");
        }
        assert_eq!(ReturnPath::parse(&format!("/{}", "x".repeat(2048))), None);
    }

    proptest! {
        #[test]
        fn what_passes_stays_on_our_origin(text in "[/\\\\%a-z:@.\t\n 25cf]{0,12}") {
            if let Some(path) = ReturnPath::parse(&text) {
                let base = openidconnect::url::Url::parse("https://hoop.example/").unwrap();
                let url = base.join(path.as_str()).unwrap();
                prop_assert_eq!(url.origin(), base.origin());
            }
        }
    }
}
