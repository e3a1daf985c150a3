//! A notice as it is told: about what, how grave, in which words. Knows no channel.
//!
//! Names, reasons, times and ids may be in it; statement text, data and secrets never. What comes from people is made
//! harmless when a notice is made (one line, no control or direction characters, bounded); each channel escapes it again
//! in its own way.

use std::{fmt, str::FromStr};

use hoop_model::Timestamp;
use serde::{Deserialize, Serialize};

const LONGEST_TITLE: usize = 200;
const LONGEST_TEXT: usize = 1000;
const LONGEST_FACT: usize = 500;
const MOST_FACTS: usize = 20;

macro_rules! topics {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $severity:ident;)*) => {
        /// What notices are about. The written form is stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub(crate) enum Topic {
            $($(#[$doc])* #[serde(rename = $word)] $name,)*
        }

        impl Topic {
            /// All of them.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable form.
            #[must_use]
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// How grave it is.
            #[must_use]
            pub(crate) const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }
        }
    };
}

topics! {
    /// Somebody asks for access.
    RequestCreated = "request.created", Info;
    /// It was approved.
    RequestApproved = "request.approved", Info;
    /// It was denied.
    RequestDenied = "request.denied", Info;
    /// It ended.
    RequestEnded = "request.ended", Info;
    /// Somebody opened an emergency.
    BreakGlassStarted = "break_glass.started", Critical;
    /// Somebody signed in with sealed codes.
    SealedCodesUsed = "break_glass.sealed_codes_used", Critical;
    /// Somebody else let it go on.
    BreakGlassExtended = "break_glass.extended", Critical;
    /// It ended.
    BreakGlassEnded = "break_glass.ended", Warning;
    /// Its review is to be done.
    BreakGlassReviewDue = "break_glass.review_due", Warning;
    /// Its review was closed.
    BreakGlassReviewed = "break_glass.reviewed", Info;
    /// Other rules are in force.
    RulesChanged = "rules.changed", Warning;
    /// Somebody tried to put rules in force that are not those of a signed bundle.
    RulesRefused = "rules.refused", Critical;
    /// An account was locked after too many wrong passwords or codes.
    LoginLockedOut = "login.locked_out", Warning;
    /// A passkey's counter went back.
    PasskeyCopied = "passkey.copied", Critical;
    /// A target shows another host key.
    HostKeyChanged = "host_key.changed", Warning;
    /// A test that an administrator asked for.
    NoticeTest = "notice.test", Info;
}

impl Topic {
    /// Every channel is told of it, whatever its topics are.
    #[must_use]
    pub(crate) fn is_for_all(self) -> bool {
        self.as_str().starts_with("break_glass.")
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// There is no such topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no topic of this name")]
pub(crate) struct UnknownTopic;

impl FromStr for Topic {
    type Err = UnknownTopic;
    fn from_str(text: &str) -> Result<Self, UnknownTopic> {
        Self::ALL.iter().copied().find(|topic| topic.as_str() == text).ok_or(UnknownTopic)
    }
}

/// How grave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// To know.
    Info,
    /// To look at.
    Warning,
    /// To act on.
    Critical,
}

impl Severity {
    /// As people read it.
    #[must_use]
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A name and a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fact {
    /// Such as `reason`.
    pub name: String,
    /// Such as what somebody wrote.
    pub value: String,
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notice {
    /// About what.
    pub topic: Topic,
    /// How grave.
    pub severity: Severity,
    /// In a few words.
    pub title: String,
    /// In a sentence or two; may be empty.
    pub text: String,
    /// What there is to know, in order.
    pub facts: Vec<Fact>,
    /// Where in the console.
    pub url: Option<String>,
    /// When it happened.
    pub at: Timestamp,
}

impl Notice {
    /// One with a title alone, as grave as its topic is.
    #[must_use]
    pub(crate) fn new(topic: Topic, at: Timestamp, title: impl AsRef<str>) -> Self {
        let title = one_line(title.as_ref(), LONGEST_TITLE);
        Self {
            topic,
            severity: topic.severity(),
            title,
            text: String::new(),
            facts: Vec::new(),
            url: None,
            at,
        }
    }

    /// The same with a sentence.
    #[must_use]
    pub(crate) fn text(mut self, text: impl AsRef<str>) -> Self {
        self.text = one_line(text.as_ref(), LONGEST_TEXT);
        self
    }

    /// The same with a fact. One that has no value is left out, and so are those past the limit.
    #[must_use]
    pub(crate) fn fact(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        let value = one_line(&value.to_string(), LONGEST_FACT);
        if !value.is_empty() && self.facts.len() < MOST_FACTS {
            self.facts.push(Fact { name: name.to_owned(), value });
        }
        self
    }

    /// The same with a place in the console.
    #[must_use]
    pub(crate) fn link(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }
}

/// One line without what could forge another, or turn the text around. Unicode's direction and invisible characters
/// (General_Category Cf, as far as they hide or reorder) go with the control characters.
fn one_line(text: &str, limit: usize) -> String {
    let hides = |c: char| matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    // What could become a word is read no further than four times the limit: the rest cannot matter.
    let plain = text.chars().take(limit.saturating_mul(4)).map(|c| if c.is_control() { ' ' } else { c });
    let plain: String = plain.filter(|c| !hides(*c)).collect();
    let line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(limit) {
        None => line,
        Some((at, _)) => line.get(..at).unwrap_or_default().trim_end().to_owned() + "…",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn topics_are_read_as_they_are_written() {
        for topic in Topic::ALL {
            assert_eq!(topic.as_str().parse(), Ok(*topic));
            assert_eq!(serde_json::to_value(topic).unwrap(), topic.as_str());
        }
        for text in ["", "*", "request", "request.", "REQUEST.CREATED", "request.created "] {
            assert_eq!(text.parse::<Topic>(), Err(UnknownTopic), "{text:?}");
        }
        let for_all = Topic::ALL.iter().filter(|topic| topic.is_for_all()).count();
        assert_eq!(for_all, 6);
    }

    #[test]
    fn what_people_write_is_one_bounded_line() {
        let notice = Notice::new(Topic::RequestCreated, Timestamp::EPOCH, "a\r\nBcc: x\0y\u{202e}z")
            .text("x ".repeat(4000))
            .fact("reason", "  \n\u{200b} ")
            .fact("incident", "INC-1\u{2028}2");
        assert_eq!(notice.title, "a Bcc: x yz");
        assert_eq!(notice.text.chars().count(), LONGEST_TEXT);
        assert_eq!(notice.facts, [Fact { name: "incident".into(), value: "INC-12".into() }]);
        let many = (0..100).fold(notice, |notice, n| notice.fact("n", n));
        assert_eq!(many.facts.len(), MOST_FACTS);
    }

    proptest! {
        #[test]
        fn no_line_holds_a_control_character(text in "\\PC*|.*", limit in 1..50_usize) {
            let line = one_line(&text, limit);
            prop_assert!(!line.chars().any(char::is_control));
            prop_assert!(line.chars().count() <= limit + 1);
        }

        #[test]
        fn a_notice_is_read_as_it_was_written(title in ".*", text in ".*", value in ".*") {
            let notice = Notice::new(Topic::BreakGlassStarted, Timestamp::from_micros(7), title)
                .text(text).fact("reason", value).link("https://hoop.example/x");
            let payload = serde_json::to_string(&notice).unwrap();
            prop_assert_eq!(serde_json::from_str::<Notice>(&payload).unwrap(), notice);
        }
    }
}
