//! Messages for Slack and what speaks like it (Mattermost, Rocket.Chat, Discord's `/slack`): `{"text", "blocks"}`.
//!
//! Everything that comes from people stands as plain text: as `plain_text` in blocks, which knows no markup, and escaped
//! in `text`, which is shown where blocks are not. There `&`, `<` and `>` would begin mentions and links
//! (<https://docs.slack.dev/messaging/formatting-message-text#escaping>), and a bare `@` does with the look-alikes.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::notice::{Notice, Severity};

/// Of Slack: a header, a section's text, and a field.
const HEADER: usize = 150;
const SECTION: usize = 3000;
const FIELD: usize = 2000;
/// Of Slack: fields of one section.
const FIELDS: usize = 10;

/// The body of a notice.
pub(crate) fn body(notice: &Notice) -> Value {
    let title = format!("{} {}", mark(notice.severity), notice.title);
    let mut blocks = vec![json!({ "type": "header", "text": plain(&title, HEADER) })];
    if !notice.text.is_empty() {
        blocks.push(json!({ "type": "section", "text": plain(&notice.text, SECTION) }));
    }
    let fields: Vec<Value> =
        notice.facts.iter().map(|fact| plain(&format!("{}: {}", fact.name, fact.value), FIELD)).collect();
    blocks.extend(fields.chunks(FIELDS).map(|fields| json!({ "type": "section", "fields": fields })));
    if let Some(url) = &notice.url {
        let button = json!({ "type": "button", "text": plain("Open in hoop", FIELD), "url": url });
        blocks.push(json!({ "type": "actions", "elements": [button] }));
    }
    json!({ "text": fallback(notice), "blocks": blocks })
}

const fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "ℹ️",
        Severity::Warning => "⚠️",
        Severity::Critical => "🚨",
    }
}

/// Text that is shown as it is. `emoji` off: `:names:` stay names.
fn plain(text: &str, limit: usize) -> Value {
    let text: String = defused(text).chars().take(limit).collect();
    json!({ "type": "plain_text", "text": text, "emoji": false })
}

fn fallback(notice: &Notice) -> String {
    let mut text = format!("{} {}", mark(notice.severity), escaped(&notice.title));
    if !notice.text.is_empty() {
        let _ = write!(text, "\n{}", escaped(&notice.text));
    }
    for fact in &notice.facts {
        let _ = write!(text, "\n{}: {}", escaped(&fact.name), escaped(&fact.value));
    }
    if let Some(url) = &notice.url {
        let _ = write!(text, "\n{}", escaped(url));
    }
    text
}

/// No mention for those who read `@here` and `@somebody` in any text: what follows the sign is no name any more.
fn defused(text: &str) -> String {
    text.replace('@', "@\u{200b}")
}

/// No markup either: Slack's own three characters, and those that other readers know from Markdown.
fn escaped(text: &str) -> String {
    let text = defused(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace(['[', ']'], "|").replace('`', "'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notices::notice::Topic;
    use hoop_model::Timestamp;
    use proptest::prelude::*;

    fn notice(text: &str) -> Notice {
        Notice::new(Topic::BreakGlassStarted, Timestamp::EPOCH, text)
            .text(text)
            .fact("reason", text)
            .link("https://hoop.example/requests/req_x?a=1&b=2")
    }

    fn texts(value: &Value, into: &mut Vec<(bool, String)>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| texts(item, into)),
            Value::Object(fields) => {
                if let Some(Value::String(text)) = fields.get("text") {
                    into.push((fields.get("type") == Some(&json!("plain_text")), text.clone()));
                }
                fields.values().for_each(|field| texts(field, into));
            }
            _ => {}
        }
    }

    #[test]
    fn names_that_would_call_everybody_call_nobody() {
        let hostile = [
            "<!channel>",
            "<!here|x>",
            "<!everyone>",
            "<@U024BE7LH>",
            "<#C024BE7LR>",
            "<!subteam^S1>",
            "@here",
            "@all",
            "@channel",
            "<https://evil.example|https://hoop.example>",
            "[x](https://evil.example)",
            "&lt;!channel&gt;",
        ];
        for text in hostile {
            let body = body(&notice(text));
            let mut all = Vec::new();
            texts(&body, &mut all);
            assert!(all.len() >= 5, "{body}");
            for (plain, text) in all {
                assert!(!text.contains("@h") && !text.contains("@a") && !text.contains("@c"), "{text}");
                assert!(plain || !text.contains(['<', '>', '[', ']']), "{text}");
            }
        }
        assert!(
            body(&notice("&lt;!channel&gt;"))["text"].as_str().unwrap().contains("&amp;lt;!channel&amp;gt;")
        );
    }

    #[test]
    fn nothing_but_plain_text_is_in_blocks() {
        let body = body(&notice("*bold* :tada:"));
        assert!(!body.to_string().contains("mrkdwn"));
        assert_eq!(body["blocks"][0]["text"]["emoji"], false);
        assert_eq!(body["blocks"][3]["elements"][0]["url"], "https://hoop.example/requests/req_x?a=1&b=2");
    }

    proptest! {
        #[test]
        fn limits_of_slack_hold_and_no_angle_gets_through(text in "\\PC{0,3000}") {
            let many = (0..20).fold(notice(&text), |notice, n| notice.fact("n", format!("{n}{text}")));
            let body = body(&many);
            let fallback = body["text"].as_str().unwrap();
            prop_assert!(!fallback.contains(['<', '>']));
            prop_assert!(body["blocks"].as_array().unwrap().len() <= 50);
            for block in body["blocks"].as_array().unwrap() {
                let fields = block["fields"].as_array().map_or(0, Vec::len);
                prop_assert!(fields <= 10);
            }
            prop_assert!(body["blocks"][0]["text"]["text"].as_str().unwrap().chars().count() <= 150);
        }
    }
}
