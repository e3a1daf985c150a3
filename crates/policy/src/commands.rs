//! Which commands a session may run on a host: the command rules of an access rule.
//!
//! The first rule that fits decides; a command that none fits is denied. A rule fits the whole text, as it goes to the host. What the
//! host's shell makes of it is not known here, so nothing is taken apart: a rule that allows must say every character it allows.

use std::{fmt, str::FromStr};

use hoop_model::RuleName;
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    Message,
    rules::{filled, present},
};

/// What is done with what a rule fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllowOrDeny {
    /// It goes on.
    Allow,
    /// It is refused.
    Deny,
}

/// One rule about commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandRule {
    /// What a refusal calls it.
    pub name: RuleName,
    /// What is done.
    pub action: AllowOrDeny,
    /// Texts: one of these must fit the command from its first character to its last.
    #[serde(deserialize_with = "filled")]
    pub text: Vec<CommandPattern>,
    /// What whoever runs it is told; for rules that deny.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
}

impl CommandRule {
    fn fits(&self, text: &str) -> bool {
        self.text.iter().any(|pattern| pattern.whole.is_match(text))
    }
}

/// What becomes of a command, and by which rule. What is not UTF-8, or has a line end or another control character in it, fits no rule
/// that allows, and any that denies: `\s` fits a line end, behind which the host's shell begins another command.
pub(crate) fn decided<'r>(rules: &'r [CommandRule], text: &[u8]) -> (AllowOrDeny, Option<&'r CommandRule>) {
    if rules.is_empty() {
        return (AllowOrDeny::Allow, None);
    }
    let is_plain = |text: &&str| !text.chars().any(|c| c.is_control() && c != '\t');
    let text = std::str::from_utf8(text).ok().filter(is_plain);
    let by = rules.iter().find(|rule| match text {
        Some(text) => rule.fits(text),
        None => rule.action == AllowOrDeny::Deny,
    });
    (by.map_or(AllowOrDeny::Deny, |rule| rule.action), by)
}

/// A regular expression that a whole command must fit.
#[derive(Debug, Clone)]
pub struct CommandPattern {
    text: String,
    whole: Regex,
}

/// Bytes of a pattern, and of what is compiled of it.
const LONGEST: usize = 2_000;
const LARGEST: usize = 256 << 10;

/// Why a text is no pattern of commands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotACommand {
    /// It is no regular expression, or too large a one.
    #[error("{0:?} is no regular expression of at most {LONGEST} bytes, or one that takes too much")]
    Unusable(String),
    /// It allows what a shell reads as several commands, most likely by mistake.
    #[error("{0:?} begins with ^ or ends with $: a pattern is the whole command anyhow, leave them out")]
    Anchored(String),
}

impl FromStr for CommandPattern {
    type Err = NotACommand;
    fn from_str(text: &str) -> Result<Self, NotACommand> {
        let shown = || text.chars().take(80).collect::<String>();
        if text.starts_with('^') || (text.ends_with('$') && !text.ends_with("\\$")) {
            return Err(NotACommand::Anchored(shown()));
        }
        let compile = |text: &str| RegexBuilder::new(text).size_limit(LARGEST).nest_limit(50).build();
        // By itself first: `a)|(b` must not close the bracket that holds it.
        let fine = !text.is_empty() && text.len() <= LONGEST && compile(text).is_ok();
        let whole = fine.then(|| compile(&format!(r"\A(?:{text})\z")).ok()).flatten();
        whole.map(|whole| Self { text: text.to_owned(), whole }).ok_or_else(|| NotACommand::Unusable(shown()))
    }
}

impl fmt::Display for CommandPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for CommandPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for CommandPattern {}

impl Serialize for CommandPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for CommandPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(yaml: &str) -> Vec<CommandRule> {
        serde_saphyr::from_str(yaml).unwrap()
    }

    /// `None`: no rule fits, which denies.
    fn by(rules: &[CommandRule], text: &[u8]) -> Option<AllowOrDeny> {
        let (action, by) = decided(rules, text);
        assert_eq!(action, by.map_or(AllowOrDeny::Deny, |rule| rule.action));
        by.map(|rule| rule.action)
    }

    #[test]
    fn a_rule_is_about_the_whole_text_and_the_first_that_fits_decides() {
        let rules = rules(
            r"[{name: not-db, action: deny, text: ['systemctl restart db']},
               {name: restart, action: allow, text: ['systemctl (restart|status) [a-z]+', uptime]}]",
        );
        for (text, wanted) in [
            ("uptime", Some(AllowOrDeny::Allow)),
            ("systemctl restart web", Some(AllowOrDeny::Allow)),
            ("systemctl restart db", Some(AllowOrDeny::Deny)),
            ("systemctl restart web;id", None),
            ("systemctl restart web\nid", Some(AllowOrDeny::Deny)),
            ("uptime\n", Some(AllowOrDeny::Deny)),
            (" uptime", None),
            ("xuptime", None),
            ("uptime | sh", None),
            ("systemctl restart $(id)", None),
            ("", None),
        ] {
            assert_eq!(by(&rules, text.as_bytes()), wanted, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_allowed_by_nothing() {
        let anything = rules("[{name: any, action: allow, text: ['(?s).*']}]");
        assert_eq!(by(&anything, b"id"), Some(AllowOrDeny::Allow));
        for text in [&b"id \xff"[..], b"id\nid", b"id\rid", b"id\0", b"id \x1b[2K"] {
            assert_eq!(by(&anything, text), None);
        }
        assert_eq!(
            by(&rules(r"[{name: r, action: allow, text: ['restart\s+[a-z]+']}]"), b"restart\nreboot"),
            None
        );
        let denied = rules("[{name: no, action: deny, text: [id]}]");
        assert_eq!(by(&denied, b"uptime \xff"), Some(AllowOrDeny::Deny));
    }

    #[test]
    fn patterns_that_mean_less_than_they_seem_to_are_refused() {
        for text in ["", "a)|(b", "(", "^uptime", "uptime$", "(?x)a #", "(a{1000}){1000}", &"x".repeat(3_000)]
        {
            assert!(text.parse::<CommandPattern>().is_err(), "{text}");
        }
        for text in [r"echo \$", "a|b", r"ls [-\w/.]+", "(?i)UPTIME"] {
            assert!(text.parse::<CommandPattern>().is_ok(), "{text}");
        }
        let alternatives = rules("[{name: r, action: allow, text: ['a|b']}]");
        assert_eq!(by(&alternatives, b"ab"), None, "the alternatives are whole texts");
    }
}
