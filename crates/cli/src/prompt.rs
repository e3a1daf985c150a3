//! Asking a person, or reading from a pipe what a person would have typed.

use std::io::{self, BufRead as _, IsTerminal as _};

use hoop_client::ClientError;
use hoop_model::Redacted;

use crate::failure::Result;

const LONGEST_LINE: u64 = 64 * 1024;

/// Asks for a secret; from a pipe, takes the next line.
pub(crate) fn secret(question: &str) -> Result<Redacted<String>> {
    if io::stdin().is_terminal() {
        let answer = inquire::Password::new(question)
            .without_confirmation()
            .with_display_mode(inquire::PasswordDisplayMode::Hidden)
            .prompt();
        return answer.map(Redacted::new).map_err(|error| not_answered(&error));
    }
    next_line().map(Redacted::new)
}

/// Asks for text; from a pipe, takes the next line.
pub(crate) fn text(question: &str, default: Option<&str>) -> Result<String> {
    if io::stdin().is_terminal() {
        let mut asked = inquire::Text::new(question);
        if let Some(default) = default {
            asked = asked.with_default(default);
        }
        return asked.prompt().map_err(|error| not_answered(&error));
    }
    next_line()
}

fn next_line() -> Result<String> {
    let mut line = String::new();
    // `lock()` shares its buffer between calls, so a second line is not lost with the first.
    let mut stdin = io::Read::take(io::stdin().lock(), LONGEST_LINE);
    if stdin.read_line(&mut line)? == 0 {
        return Err(
            ClientError::usage("HOOP-1015", "an answer was expected on stdin, and there is none").into()
        );
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

fn not_answered(error: &inquire::InquireError) -> crate::failure::Failure {
    let message = match error {
        inquire::InquireError::OperationCanceled | inquire::InquireError::OperationInterrupted => {
            "cancelled".to_owned()
        }
        other => format!("the terminal cannot be asked: {other}"),
    };
    ClientError::usage("HOOP-1015", message).into()
}
