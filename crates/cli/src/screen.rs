//! Plays what a recorded terminal showed on the terminal at hand: an asciicast, line by line as it comes.
//!
//! What comes may be hostile, whoever filtered it before: it passes [`Harmless`]. At the end our terminal is as it was.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use bytes::Bytes;
use hoop_client::{Body, ClientError};
use hoop_recording::terminal::Harmless;
use serde_json::Value;

use crate::replay::Pace;

/// Longest line of a cast; a piece of output is far shorter.
const LONGEST: usize = 64 << 20;
/// Back to the first screen, with a cursor, the whole height, plain text and plain letters.
const AS_IT_WAS: &str = "\u{1b}[?1049l\u{1b}[?25h\u{1b}[?7h\u{1b}[r\u{1b}[0m\u{1b}(B\u{f}\r\n";

/// At once so much of what is held.
const PIECE: usize = 64 << 10;

/// Where a cast comes from.
pub(crate) enum Source {
    /// The gateway, as it sends it.
    Gateway(Body),
    /// A recording that was decrypted here.
    Held(Bytes),
}

impl Source {
    async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        match self {
            Self::Gateway(body) => body.next().await,
            Self::Held(bytes) => {
                Ok(Some(bytes.split_to(PIECE.min(bytes.len()))).filter(|piece| !piece.is_empty()))
            }
        }
    }
}

/// How what was played ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// What ran there ended with this status.
    Exit(u8),
    /// No more came.
    Open,
}

/// A line of a cast.
#[derive(Debug, Clone, PartialEq)]
enum Line {
    Output(Duration, String),
    Exit(u8),
    /// Nothing that is drawn, and how long it took to come.
    Other(Duration),
}

/// Plays a cast. What was shown before `from` is drawn at once.
pub(crate) async fn play(cast: Source, pace: Pace, from: Duration) -> Result<End, ClientError> {
    let mut screen = Screen { harmless: Harmless::for_terminals(), pace, from, at: Duration::ZERO };
    let playing = tokio::select! {
        end = screen.play(cast) => end,
        _ = tokio::signal::ctrl_c() => Err(ClientError::usage("HOOP-1063", "the replay was stopped")),
    };
    write(AS_IT_WAS)?;
    playing
}

struct Screen {
    harmless: Harmless,
    pace: Pace,
    from: Duration,
    at: Duration,
}

impl Screen {
    async fn play(&mut self, mut cast: Source) -> Result<End, ClientError> {
        let mut held: Vec<u8> = Vec::new();
        while let Some(piece) = cast.next().await? {
            held.extend_from_slice(&piece);
            while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = held.drain(..=end).collect();
                if let Line::Exit(status) = self.show(read(&line)?).await? {
                    return Ok(End::Exit(status));
                }
            }
            if held.len() > LONGEST {
                return Err(not_understood());
            }
        }
        Ok(End::Open)
    }

    async fn show(&mut self, line: Line) -> Result<Line, ClientError> {
        match &line {
            Line::Output(after, text) => {
                self.wait(*after).await;
                write(&self.harmless.show(text.as_bytes()))?;
            }
            Line::Other(after) => self.wait(*after).await,
            Line::Exit(_) => {}
        }
        Ok(line)
    }

    async fn wait(&mut self, after: Duration) {
        self.at += after;
        if self.at > self.from {
            tokio::time::sleep(self.pace.pause(after.min(self.at - self.from))).await;
        }
    }
}

fn write(text: &str) -> Result<(), ClientError> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| ClientError::own("HOOP-1016", format!("the terminal takes no more: {error}")))
}

/// A line of an asciicast (version 3): its header, a comment, or `[interval, code, data]`.
fn read(line: &[u8]) -> Result<Line, ClientError> {
    if line.starts_with(b"#") || line.starts_with(b"{") {
        return Ok(Line::Other(Duration::ZERO));
    }
    let event: (f64, String, Value) = serde_json::from_slice(line).map_err(|_| not_understood())?;
    let after = Duration::try_from_secs_f64(event.0).unwrap_or_default();
    let text = event.2.as_str().unwrap_or_default();
    Ok(match event.1.as_str() {
        "o" => Line::Output(after, text.to_owned()),
        "x" => Line::Exit(text.parse().unwrap_or(u8::MAX)),
        _ => Line::Other(after),
    })
}

fn not_understood() -> ClientError {
    ClientError::own("HOOP-1009", "what the terminal showed is not understood")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_cast_are_read_and_nothing_else() {
        let none = Line::Other(Duration::ZERO);
        assert_eq!(read(b"{\"version\": 3}\n").unwrap(), none);
        assert_eq!(read(b"#\n").unwrap(), none);
        let half = Duration::from_millis(500);
        assert_eq!(read(b"[0.5, \"o\", \"hi\"]").unwrap(), Line::Output(half, "hi".into()));
        assert_eq!(read(b"[0.5, \"r\", \"80x24\"]").unwrap(), Line::Other(half));
        assert_eq!(read(b"[0, \"x\", \"5\"]").unwrap(), Line::Exit(5));
        assert_eq!(read(b"[-1, \"o\", \"\"]").unwrap(), Line::Output(Duration::ZERO, String::new()));
        assert_eq!(read(b"[1e300, \"x\", \"999\"]").unwrap(), Line::Exit(255));
        for none in [&b""[..], b"[]", b"[1, 2]", b"nonsense", b"[\"o\"]"] {
            assert_eq!(read(none).unwrap_err().fault.code.as_str(), "HOOP-1009");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_are_kept_cut_and_left_out_before_the_beginning() {
        let pace = Pace::new(2.0, false, Duration::from_secs(3));
        let mut screen = Screen {
            harmless: Harmless::for_terminals(),
            pace,
            from: Duration::from_secs(10),
            at: Duration::ZERO,
        };
        let began = tokio::time::Instant::now();
        screen.wait(Duration::from_secs(9)).await;
        assert_eq!(began.elapsed(), Duration::ZERO, "before it begins there is no waiting");
        screen.wait(Duration::from_secs(3)).await;
        assert_eq!(began.elapsed(), Duration::from_secs(1), "from the beginning on, twice as fast");
        screen.wait(Duration::from_secs(3600)).await;
        assert_eq!(began.elapsed(), Duration::from_secs(4), "nobody waits longer than wanted");
    }
}
