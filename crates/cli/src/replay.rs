//! Statements as a person reads them: when, by which form, the text, and the answer about as psql shows it.
//!
//! What comes in may be hostile; what goes out passes [`text`]. Knows neither where statements come from nor time itself.

use std::time::Duration;

use hoop_model::Timestamp;
use hoop_recording::{StatementView, export::answer};

use crate::output::{Look, Out, text};

/// How fast to play.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// All at once.
    AtOnce,
    /// So many times as fast as it happened, and no pause longer than this: nobody watches a coffee break.
    Times(f64, Duration),
}

impl Pace {
    /// From the arguments. A speed that is none plays all at once.
    pub(crate) fn new(speed: f64, no_wait: bool, longest: Duration) -> Self {
        if no_wait || !speed.is_finite() || speed <= 0.0 { Self::AtOnce } else { Self::Times(speed, longest) }
    }

    /// How long to wait for what took `length`.
    pub(crate) fn pause(self, length: Duration) -> Duration {
        match self {
            Self::AtOnce => Duration::ZERO,
            Self::Times(speed, longest) => Duration::try_from_secs_f64(length.as_secs_f64() / speed)
                .map_or(longest, |pause| pause.min(longest)),
        }
    }
}

/// Statements that show something: a prepare or bind that went well shows again when it is executed.
pub(crate) fn is_shown(view: &StatementView) -> bool {
    let went_wrong = view.error.is_some() || view.denied.is_some();
    went_wrong || !matches!(view.form.as_str(), "prepare" | "bind")
}

/// The time of day; a replay's heading has the date.
fn clock(at: &Timestamp) -> String {
    let at = at.to_string();
    at.split_once('T').map_or(at.as_str(), |(_, time)| time).to_owned()
}

/// What happened beside the statements, as a line: quietly; what is missing, not.
pub(crate) fn beside(at: &Timestamp, kind: &str, told: &str, out: &Out) -> String {
    let (look, kind) = match kind {
        "gap" => (Look::Red, "Something is missing here"),
        kind => (Look::Dim, kind),
    };
    out.look(look, &text::line(&format!("{} · {kind}: {told}", clock(at))))
}

/// What the person sent.
pub(crate) fn question(view: &StatementView, out: &Out) -> String {
    let time = clock(&view.at);
    let stream = view.stream.map_or_else(String::new, |stream| format!(" · stream {stream}"));
    let head = text::line(&format!("{time}{stream} · {}", view.form)).into_owned();
    let mut shown = format!("{}\n", out.look(Look::Dim, &head));
    if !view.text.is_empty() {
        shown.push_str(&out.look(Look::Bold, &text::block(&view.text)));
        shown.push('\n');
    }
    for (place, value) in view.parameters.iter().enumerate() {
        let value = value.as_deref().map_or_else(|| "NULL".into(), text::line);
        shown.push_str(&format!("  {}{value}\n", view.parameter_head(place)));
    }
    shown
}

/// What came back.
pub(crate) fn reply(view: &StatementView, out: &Out) -> String {
    let shown = answer(view);
    let shown = text::block(&shown);
    if view.denied.is_some() || view.error.is_some() {
        return format!("{}\n", out.look(Look::Red, shown.trim_end()));
    }
    shown.into_owned()
}

/// A place in a session: `90`, `1:30`, `1:02:03`, since its start.
pub(crate) fn place(text: &str) -> Result<Duration, String> {
    let wrong = || "seconds, or minutes and seconds: 90, 1:30, 1:02:03".to_owned();
    let parts: Vec<u64> = text.split(':').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
    if parts.len() > 3 || parts.iter().skip(1).any(|part| *part >= 60) {
        return Err(wrong());
    }
    let seconds = parts.iter().try_fold(0_u64, |all, part| all.checked_mul(60)?.checked_add(*part));
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

/// How long it took.
pub(crate) fn duration(view: &StatementView) -> Duration {
    Duration::from_micros(view.duration_us.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(text: &str, cell: &str) -> StatementView {
        serde_json::from_value(serde_json::json!({
            "stream": 0, "id": 1, "at": "2026-11-22T09:00:00.25Z", "form": "query", "text": text, "parameters": ["1", null],
            "columns": ["id", cell], "rows": [["1", cell], [null, "b"]], "rows_omitted": 3, "tag": "SELECT 5", "rows_count": 5,
            "copied_in": 0, "copied_out": 0, "duration_us": 1234, "error": null, "denied": null, "curtailed": null,
        }))
        .unwrap()
    }

    #[test]
    fn what_happened_beside_has_the_same_clock_and_stays_one_line() {
        let at: Timestamp = "2026-11-22T09:00:00.25Z".parse().unwrap();
        let beside = |kind, told| beside(&at, kind, told, &Out::plain());
        assert_eq!(beside("opened", "a\u{1b}[2J\nb"), r"09:00:00.250000Z · opened: a\x1b[2J\nb");
        assert_eq!(beside("gap", "one answer"), "09:00:00.250000Z · Something is missing here: one answer");
    }

    #[test]
    fn a_statement_reads_like_psql() {
        let view = view("select *\nfrom t;", "name");
        let shown = question(&view, &Out::plain()) + &reply(&view, &Out::plain());
        for part in [
            "09:00:00.250000Z · stream 0 · query",
            "select *\nfrom t;",
            "$1 = 1",
            "$2 = NULL",
            " id | name",
            "SELECT 5",
            "1.234 ms",
            "3 more rows",
        ] {
            assert!(shown.contains(part), "{part:?} is not in {shown}");
        }
    }

    #[test]
    fn a_request_to_an_api_says_its_path_and_what_it_sets() {
        let mut view = view("patch deployments.apps web in shop", "x");
        view.form = "api".to_owned();
        view.parameters =
            ["/apis/apps/v1/namespaces/shop/deployments/web", "spec.replicas = 3", "spec.paused = true"]
                .map(|value| Some(value.to_owned()))
                .to_vec();
        let shown = question(&view, &Out::plain());
        for line in [
            "\n  path /apis/apps/v1/namespaces/shop/deployments/web\n",
            "\n  sets spec.replicas = 3\n",
            "\n  sets spec.paused = true\n",
        ] {
            assert!(shown.contains(line), "{line:?} is not in {shown}");
        }
        assert!(!shown.contains('$'), "{shown}");
    }

    #[test]
    fn nothing_recorded_drives_the_terminal() {
        let hostile = "x\u{1b}]52;c;aGk=\u{7}\u{9b}2J\u{202e}\r";
        let mut view = view(hostile, hostile);
        view.form = hostile.to_owned();
        view.tag = Some(hostile.to_owned());
        view.error = Some(hoop_recording::timeline::ProblemView {
            code: hostile.to_owned(),
            message: hostile.to_owned(),
        });
        let shown = question(&view, &Out::plain()) + &reply(&view, &Out::plain());
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}', '\r']), "{shown:?}");
    }

    #[test]
    fn pauses_are_scaled_and_bounded() {
        let second = Duration::from_secs(1);
        let pace = |speed, no_wait| Pace::new(speed, no_wait, Duration::from_secs(2));
        assert_eq!(pace(1.0, false).pause(second), second);
        assert_eq!(pace(4.0, false).pause(second), Duration::from_millis(250));
        assert_eq!(pace(1.0, false).pause(Duration::from_secs(3600)), Duration::from_secs(2));
        assert_eq!(pace(1e-300, false).pause(second), Duration::from_secs(2));
        for pace in [pace(1.0, true), pace(0.0, false), pace(-1.0, false), pace(f64::NAN, false)] {
            assert_eq!(pace.pause(second), Duration::ZERO);
        }
    }

    #[test]
    fn places_are_read_as_people_write_them() {
        for (text, seconds) in [("0", 0), ("90", 90), ("1:30", 90), ("01:02:03", 3723)] {
            assert_eq!(place(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "x", "1:60", "1:2:3:4", "-1", "1.5", "99999999999999999999:00"] {
            assert!(place(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_shows_again_is_left_out() {
        let mut view = view("x", "y");
        for (form, shown) in
            [("query", true), ("prepare", false), ("bind", false), ("execute", true), ("cancel", true)]
        {
            view.form = form.to_owned();
            assert_eq!(is_shown(&view), shown, "{form}");
        }
        view.form = "prepare".to_owned();
        view.denied =
            Some(hoop_recording::timeline::ProblemView { code: "HOOP-2001".into(), message: "no".into() });
        assert!(is_shown(&view));
    }
}
