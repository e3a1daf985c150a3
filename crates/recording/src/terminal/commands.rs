//! What was entered at a shell's prompts, read off what its terminal drew.
//!
//! A shell draws a prompt and waits. What then stands behind the prompt when the line is left was entered there: also what came
//! out of the history, or was completed. It is a help to whoever looks, and no proof: a program can draw what looks like a
//! prompt, and a shell can run what it never drew.

/// Longest line that is looked at, in characters.
const LONGEST: usize = 4_000;
/// Longest prompt.
const LONGEST_PROMPT: usize = 200;
/// A line that begins with a prompt of fewer characters than these, and did not wait there, may be anything.
const TELLING: usize = 3;
/// How prompts end.
const ENDS: [char; 8] = ['$', '#', '%', '>', '❯', '➜', '»', 'λ'];
/// The other screen: no shell draws its prompt there.
const OTHER_SCREEN: [usize; 3] = [47, 1047, 1049];

/// Reads one terminal, in any pieces.
#[derive(Debug)]
pub(crate) struct Commands {
    columns: usize,
    /// All that was drawn since a line began, however many rows it takes.
    line: Vec<char>,
    cursor: usize,
    /// Where the drawing stopped in this line for the first time, if that looks as a prompt does.
    waited: Option<usize>,
    /// The prompt before.
    known: Vec<char>,
    sequence: Option<String>,
    returned: bool,
}

impl Commands {
    /// Of a terminal so wide.
    pub(crate) fn new(columns: u32) -> Self {
        Self {
            columns: width(columns),
            line: Vec::new(),
            cursor: 0,
            waited: None,
            known: Vec::new(),
            sequence: None,
            returned: false,
        }
    }

    /// It is so wide now.
    pub(super) fn resize(&mut self, columns: u32) {
        self.columns = width(columns);
    }

    /// What was drawn at one time, of which only what draws is left; answers what was entered meanwhile.
    pub(crate) fn show(&mut self, text: &str) -> Vec<String> {
        let mut entered = Vec::new();
        for character in text.chars() {
            self.take(character, &mut entered);
        }
        if self.waited.is_none() && self.sequence.is_none() {
            let drawn = self.line.get(..self.cursor).unwrap_or_default();
            self.waited = is_prompt(drawn).then_some(self.cursor);
        }
        entered
    }

    fn take(&mut self, character: char, entered: &mut Vec<String>) {
        if let Some(mut sequence) = self.sequence.take() {
            sequence.push(character);
            let is_over = match sequence.as_bytes().first() {
                Some(b'[') => sequence.len() > 1 && ('@'..='~').contains(&character),
                Some(b'(' | b')' | b'*' | b'+') => sequence.len() > 1,
                _ => true,
            };
            if is_over {
                self.obey(&sequence)
            } else {
                self.sequence = Some(sequence)
            }
            return;
        }
        if std::mem::take(&mut self.returned) && character != '\n' {
            // The first column of its row: shells break their own lines so.
            self.cursor -= self.cursor % self.columns;
        }
        match character {
            '\u{1b}' => self.sequence = Some(String::new()),
            '\r' => self.returned = true,
            '\n' => {
                entered.extend(self.entered());
                self.forget();
            }
            '\u{8}' => self.cursor = self.cursor.saturating_sub(1),
            '\t' => self.go((self.cursor / 8 + 1) * 8),
            _ if character.is_control() => {}
            _ => self.write(character),
        }
    }

    fn write(&mut self, character: char) {
        if self.cursor >= LONGEST {
            return self.forget();
        }
        if self.line.len() <= self.cursor {
            self.line.resize(self.cursor + 1, ' ');
        }
        if let Some(place) = self.line.get_mut(self.cursor) {
            *place = character;
        }
        self.cursor += 1;
    }

    fn go(&mut self, column: usize) {
        self.cursor = column.min(LONGEST);
    }

    fn forget(&mut self) {
        self.line.clear();
        self.cursor = 0;
        self.waited = None;
    }

    /// A sequence behind its escape character.
    fn obey(&mut self, sequence: &str) {
        let Some(control) = sequence.strip_prefix('[') else {
            if matches!(sequence, "D" | "E" | "c") {
                self.forget();
            }
            return;
        };
        let (numbers, kind) = control.split_at(control.len().saturating_sub(1));
        let each = || {
            numbers
                .trim_start_matches('?')
                .split([';', ':'])
                .map(|number| number.parse::<usize>().unwrap_or(0))
        };
        let first = each().next().unwrap_or(0);
        let (count, row) = (first.max(1), self.cursor - self.cursor % self.columns);
        match kind {
            "C" => self.go(self.cursor.saturating_add(count)),
            "D" => self.go(self.cursor.saturating_sub(count)),
            "G" => self.go(row.saturating_add(count - 1)),
            "A" if self.cursor >= count.saturating_mul(self.columns) => self.cursor -= count * self.columns,
            "B" => self.go(self.cursor.saturating_add(count.saturating_mul(self.columns))),
            "J" | "K" if first == 0 => self.line.truncate(self.cursor),
            "P" => {
                let end = self.cursor.saturating_add(count).min(self.line.len());
                self.line.drain(self.cursor.min(end)..end);
            }
            "@" if self.cursor < self.line.len() => {
                let room = count.min(LONGEST.saturating_sub(self.line.len()));
                self.line.splice(self.cursor..self.cursor, std::iter::repeat_n(' ', room));
            }
            "h" | "l" if !each().any(|mode| OTHER_SCREEN.contains(&mode)) => {}
            "m" | "X" | "s" | "u" | "q" => {}
            _ => self.forget(),
        }
    }

    /// What stands behind the prompt of the line that is left.
    fn entered(&mut self) -> Option<String> {
        let is_known = self.known.len() >= TELLING && self.line.starts_with(&self.known);
        let behind = self.waited.or(is_known.then_some(self.known.len()))?;
        let (prompt, entered) = self.line.split_at_checked(behind)?;
        self.known = prompt.to_vec();
        let entered: String = entered.iter().collect();
        let entered = entered.trim();
        // Ctrl-C: it was not entered.
        (!entered.is_empty() && !entered.ends_with("^C")).then(|| entered.to_owned())
    }
}

fn width(columns: u32) -> usize {
    usize::try_from(columns).unwrap_or(1).max(1)
}

fn is_prompt(drawn: &[char]) -> bool {
    let end = drawn.iter().rposition(|character| *character != ' ').and_then(|place| drawn.get(place));
    drawn.len() <= LONGEST_PROMPT && end.is_some_and(|end| ENDS.contains(end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each piece is drawn at a time of its own.
    fn of(pieces: &[&str]) -> Vec<String> {
        let mut commands = Commands::new(20);
        pieces.iter().flat_map(|piece| commands.show(piece)).collect()
    }

    #[test]
    fn what_is_typed_behind_a_prompt_is_found() {
        assert_eq!(of(&["$ ", "l", "s", "\r\n", "a  b\r\n$ ", "id -u", "\r\n0\r\n$ "]), ["ls", "id -u"]);
        for prompt in ["root@web:~# ", "\u{1b}[1mada\u{1b}[0m> ", "~/src ❯ ", "clinic=> ", "host% "] {
            assert_eq!(of(&[prompt, "ls -la", "\r\n"]), ["ls -la"], "{prompt}");
        }
    }

    #[test]
    fn it_reads_as_it_was_when_it_was_entered() {
        assert_eq!(of(&["$ ", "lx", "\u{8}\u{1b}[K", "s", "\r\n"]), ["ls"], "typed over");
        assert_eq!(of(&["$ ", "c", "at no\u{1b}[K", "tes.txt ", "\r\n"]), ["cat notes.txt"], "completed");
        assert_eq!(of(&["$ ", "echo one", "\u{8}\u{8}\u{8}two", "\r\n"]), ["echo two"], "out of the history");
        assert_eq!(of(&["$ ", "ac", "\u{1b}[D", "\u{1b}[@b", "\r\n"]), ["abc"], "inserted");
        assert_eq!(of(&["$ ", "abbc", "\u{1b}[2D\u{1b}[P", "\r\n"]), ["abc"], "deleted");
        // A terminal of 20 columns: the shell breaks the line, and goes back up in it.
        assert_eq!(of(&["$ ", "echo 0123456789012 \r", "34", "\r\n"]), ["echo 012345678901234"]);
        assert_eq!(
            of(&["$ ", "echo 0123456789012 \r34", "\u{1b}[A\u{1b}[3G", "E", "\r\n"]),
            ["Echo 012345678901234"]
        );
    }

    #[test]
    fn what_was_pasted_is_found_behind_a_prompt_that_is_known() {
        assert_eq!(of(&["web$ ", "a\r\nweb$ b\r\nweb$ c\r\n"]), ["a", "b", "c"]);
        assert_eq!(of(&["# ", "cat x\r\n# a remark\r\n"]), ["cat x"], "too short to tell");
    }

    #[test]
    fn what_was_not_entered_is_not_found() {
        assert!(of(&["$ ", "\r\n$ ", "sleep 9^C", "\r\n"]).is_empty());
        assert!(of(&["Password: ", "\r\n", "50% of 3 > 1\r\n"]).is_empty());
        assert!(
            of(&["$ ", "\u{1b}[?1049h\u{1b}[H", "~ > ", "\u{1b}[3;1Hx\r\n"]).is_empty(),
            "the other screen"
        );
    }

    proptest! {
        #[test]
        fn anything_is_bounded(pieces in proptest::collection::vec("[ -~\\r\\n\\t\u{8}\u{1b}$#>\\[0-9;?A-Za-z]{0,40}", 0..40)) {
            let mut commands = Commands::new(7);
            for piece in &pieces {
                for entered in commands.show(piece) {
                    prop_assert!(entered.chars().count() <= LONGEST && !entered.contains('\n'));
                }
                prop_assert!(commands.line.len() <= LONGEST && commands.cursor <= LONGEST);
            }
        }
    }
}
