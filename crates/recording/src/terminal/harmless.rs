//! What a host printed, with what only draws and nothing else.
//!
//! A small state machine over characters (ECMA-48, and what xterm made of it). Text passes, and so do sequences that move the
//! cursor, erase, scroll and colour. Everything that makes a terminal answer, copy, open, rename, resize or remember is dropped:
//! OSC, DCS, APC, PM and SOS strings whole, reports, window operations, keyboard and mouse modes. What is not known is dropped.

/// Longest control sequence that is looked at.
const LONGEST: usize = 64;
/// Largest number in one: what is larger makes players work without end.
const LARGEST: u32 = 9_999;
/// Modes that only change how is drawn: cursor keys, origin, wrap, blinking, the cursor, the other screen.
const MODES: [u32; 9] = [1, 6, 7, 12, 25, 47, 1047, 1048, 1049];

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum State {
    #[default]
    Ground,
    Escape,
    /// `ESC (` and its like: one more character names a character set.
    Charset(char),
    /// `ESC #` and its like: one more character, dropped.
    Dropped,
    Sequence(String),
    /// A string that nobody sees, until it ends.
    Hidden {
        escape: bool,
    },
}

/// A filter of one terminal's output, in any pieces.
#[derive(Debug, Default)]
pub struct Harmless {
    state: State,
    /// The beginning of a character that is not complete.
    partial: Vec<u8>,
    plain: bool,
}

/// The same for people who read: no sequences at all, and line ends as lines have them.
#[derive(Debug)]
pub struct Text(Harmless);

impl Default for Text {
    fn default() -> Self {
        Self(Harmless { plain: true, ..Harmless::default() })
    }
}

impl Text {
    /// The text in the next bytes.
    pub fn show(&mut self, bytes: &[u8]) -> String {
        self.0.show(bytes)
    }
}

impl Harmless {
    /// What draws stays.
    #[must_use]
    pub fn for_terminals() -> Self {
        Self::default()
    }

    /// What of the next bytes may be shown.
    pub fn show(&mut self, bytes: &[u8]) -> String {
        let mut joined = std::mem::take(&mut self.partial);
        joined.extend_from_slice(bytes);
        let mut out = String::with_capacity(joined.len());
        let mut rest = joined.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    text.chars().for_each(|c| self.take(c, &mut out));
                    break;
                }
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    String::from_utf8_lossy(good).chars().for_each(|c| self.take(c, &mut out));
                    let Some(length) = error.error_len() else {
                        self.partial = bad.to_vec();
                        break;
                    };
                    self.take(char::REPLACEMENT_CHARACTER, &mut out);
                    rest = bad.get(length..).unwrap_or_default();
                }
            }
        }
        out
    }

    fn take(&mut self, c: char, out: &mut String) {
        // These end whatever there is, everywhere.
        if matches!(c, '\u{18}' | '\u{1a}') {
            self.state = State::Ground;
            return;
        }
        self.state = match std::mem::take(&mut self.state) {
            State::Ground => self.ground(c, out),
            State::Escape => self.escape(c, out),
            State::Charset(which) => {
                if c.is_ascii_alphanumeric() {
                    self.emit(out, &format!("\u{1b}{which}{c}"));
                }
                State::Ground
            }
            State::Dropped => State::Ground,
            State::Sequence(sequence) => self.sequence(sequence, c, out),
            State::Hidden { escape } => match c {
                '\u{7}' | '\u{9c}' => State::Ground,
                '\\' if escape => State::Ground,
                _ => State::Hidden { escape: c == '\u{1b}' },
            },
        };
    }

    fn ground(&self, c: char, out: &mut String) -> State {
        match c {
            '\u{1b}' => return State::Escape,
            '\u{9b}' => return State::Sequence(String::new()),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => return State::Hidden { escape: false },
            '\n' | '\t' => out.push(c),
            '\r' | '\u{8}' | '\u{e}' | '\u{f}' if !self.plain => out.push(c),
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => {}
            // Turns the direction of what follows: a reader sees another text than there is.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push(char::REPLACEMENT_CHARACTER),
            _ => out.push(c),
        }
        State::Ground
    }

    fn escape(&self, c: char, out: &mut String) -> State {
        match c {
            '[' => return State::Sequence(String::new()),
            ']' | 'P' | 'X' | '^' | '_' => return State::Hidden { escape: false },
            '(' | ')' | '*' | '+' => return State::Charset(c),
            ' '..='/' => return State::Dropped,
            '\u{1b}' => return State::Escape,
            '7' | '8' | 'D' | 'E' | 'H' | 'M' | '=' | '>' | 'c' => self.emit(out, &format!("\u{1b}{c}")),
            _ => {}
        }
        State::Ground
    }

    fn sequence(&self, mut sequence: String, c: char, out: &mut String) -> State {
        match c {
            '\u{1b}' => State::Escape,
            ' '..='?' if sequence.len() < LONGEST => {
                sequence.push(c);
                State::Sequence(sequence)
            }
            '@'..='~' => {
                if let Some(drawn) = drawn(&sequence, c) {
                    self.emit(out, &drawn);
                }
                State::Ground
            }
            _ => State::Ground,
        }
    }

    fn emit(&self, out: &mut String, sequence: &str) {
        if !self.plain {
            out.push_str(sequence);
        }
    }
}

/// A control sequence that only draws, as it may be passed on.
fn drawn(sequence: &str, last: char) -> Option<String> {
    let (private, numbers) = match sequence.strip_prefix('?') {
        Some(numbers) => (true, numbers),
        None => (false, sequence),
    };
    if !numbers.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':')) {
        return None;
    }
    let number = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u32>().ok() };
    let all: Vec<u32> = numbers.split([';', ':']).map(number).collect::<Option<_>>()?;
    if all.iter().any(|number| *number > LARGEST) {
        return None;
    }
    match last {
        'h' | 'l' if private => {
            let kept: Vec<_> = all.iter().filter(|mode| MODES.contains(mode)).map(u32::to_string).collect();
            (!kept.is_empty()).then(|| format!("\u{1b}[?{}{last}", kept.join(";")))
        }
        'h' | 'l' => (all == [4]).then(|| format!("\u{1b}[4{last}")),
        'J' | 'K' if private => Some(format!("\u{1b}[?{numbers}{last}")),
        '@'..='M' | 'P' | 'S' | 'T' | 'X' | 'Z' | '`' | 'a' | 'b' | 'd'..='g' | 'm' | 'r' | 's' | 'u'
            if !private =>
        {
            Some(format!("\u{1b}[{numbers}{last}"))
        }
        _ => None,
    }
}
