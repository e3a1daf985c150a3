//! What is printed: tables for people, JSON for programs, errors with their code and hint.
//!
//! Data goes to stdout, everything said besides to stderr. Whatever came from elsewhere passes [`text`] first: a name or a
//! recorded value must not drive the terminal.

mod table;
pub(crate) mod text;

use std::io::{self, IsTerminal as _, Write as _};

use hoop_model::Fault;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

pub(crate) use table::{Table, facts};

/// In which form data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: one JSON value; its fields are kept stable.
    Json,
}

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    format: Format,
    colour: bool,
    colour_errors: bool,
}

/// A look, by ECMA-48 §8.3.117 (SGR).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Look {
    /// Headings.
    Bold,
    /// Of less weight.
    Dim,
    /// Bad.
    Red,
    /// Good.
    Green,
    /// Worth a look.
    Yellow,
}

impl Look {
    const fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
        }
    }
}

impl Out {
    /// As the terminal and `NO_COLOR` (<https://no-color.org>) want it.
    pub(crate) fn new(format: Format) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let wanted = !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self {
            format,
            colour: wanted && io::stdout().is_terminal(),
            colour_errors: wanted && io::stderr().is_terminal(),
        }
    }

    /// Programs read the output.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Text with a look, if the terminal wants any. The text must be safe already.
    pub(crate) fn look(self, look: Look, text: &str) -> String {
        paint(self.colour, look, text)
    }

    /// A line of data.
    pub(crate) fn line(self, line: impl AsRef<str>) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(line.as_ref().as_bytes())?;
        stdout.write_all(b"\n")?;
        stdout.flush()
    }

    /// A JSON value: indented for a person at a terminal, on one line for a pipe.
    pub(crate) fn json(self, value: &impl Serialize) -> io::Result<()> {
        let pretty = io::stdout().is_terminal();
        let text = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
        self.line(text.map_err(io::Error::other)?)
    }

    /// A value, in the form that was asked for.
    pub(crate) fn data<T: Serialize>(self, value: &T, shown: impl FnOnce(&T) -> String) -> io::Result<()> {
        if self.is_json() {
            return self.json(value);
        }
        let text = shown(value);
        self.line(text.trim_end_matches('\n'))
    }

    /// Something said besides the data. Silent towards programs.
    #[expect(clippy::unused_self, reason = "said through the same hand as everything else")]
    pub(crate) fn note(self, line: impl AsRef<str>) {
        let _ = writeln!(io::stderr().lock(), "{}", line.as_ref());
    }

    /// An error: message, code and hint; as JSON towards programs.
    pub(crate) fn error(self, fault: &Fault) {
        if self.is_json() {
            let value = serde_json::json!({ "error": {
                "code": fault.code, "message": fault.message, "hint": fault.hint,
            }});
            self.note(value.to_string());
            return;
        }
        self.note(self.error_text(fault));
    }

    fn error_text(self, fault: &Fault) -> String {
        let label = paint(self.colour_errors, Look::Red, "error:");
        let mut shown =
            format!("{label} {} ({})", text::block(&fault.message), text::line(fault.code.as_str()));
        if let Some(hint) = &fault.hint {
            let label = paint(self.colour_errors, Look::Yellow, "hint:");
            shown.push_str(&format!("\n{label} {}", text::block(hint)));
        }
        shown
    }

    /// Turns while `work` takes long, on stderr, if a person watches.
    pub(crate) async fn waiting<T>(self, what: &str, work: impl Future<Output = T>) -> T {
        if self.is_json() || !io::stderr().is_terminal() {
            return work.await;
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        let mut work = std::pin::pin!(work);
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
        tick.tick().await;
        let value = loop {
            tokio::select! {
                biased;
                value = &mut work => break value,
                _ = tick.tick() => bar.tick(),
            }
        };
        bar.finish_and_clear();
        value
    }
}

fn paint(colour: bool, look: Look, text: &str) -> String {
    if colour && !text.is_empty() {
        format!("\u{1b}[{}m{text}\u{1b}[0m", look.code())
    } else {
        text.to_owned()
    }
}

impl Out {
    /// Without colour, whatever the terminal.
    pub(crate) const fn plain() -> Self {
        Self { format: Format::Table, colour: false, colour_errors: false }
    }
}

#[cfg(test)]
mod tests {
    use hoop_model::Blame;

    use super::*;

    #[test]
    fn an_error_shows_message_code_and_hint_and_drives_no_terminal() {
        let fault =
            Fault::new("HOOP-2003", Blame::Policy, "not\u{1b}]52;c;x\u{7} allowed").with_hint("ask \u{9b}2J");
        let shown = Out::plain().error_text(&fault);
        assert_eq!(shown, "error: not\\x1b]52;c;x\\x07 allowed (HOOP-2003)\nhint: ask \\u{9b}2J");
    }
}
