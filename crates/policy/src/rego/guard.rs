//! Texts that the parser must not see: it recurses for each level of nesting and each link of a chain, and tries some
//! nestings several times a level.

/// Brackets within brackets.
const DEEPEST: usize = 8;
/// Operators and dots of one expression.
const LONGEST_CHAIN: usize = 100;

/// What a text has too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooMuch {
    #[error("brackets stand more than {DEEPEST} deep: name a part of it in a rule of its own")]
    Nested,
    #[error("one expression has more than {LONGEST_CHAIN} operators and dots: split it")]
    Chained,
    #[error("a string has no end")]
    Open,
}

/// Reads a text by Rego's rules of strings and comments; the line of what is too much.
pub(super) fn check(text: &str) -> Result<(), (usize, TooMuch)> {
    let mut chars = text.chars().peekable();
    // `ended`: what stands before can be a whole expression, so the next line goes on with it only by a sign.
    let (mut line, mut depth, mut chain, mut ended) = (1, 0_usize, 0, false);
    while let Some(c) = chars.next() {
        match c {
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            '"' | '`' => {
                let begun = line;
                loop {
                    match chars.next() {
                        None => return Err((begun, TooMuch::Open)),
                        Some('\\') if c == '"' => drop(chars.next()),
                        Some('\n') => line += 1,
                        Some(end) if end == c => break,
                        Some(_) => {}
                    }
                }
                ended = true;
            }
            '\n' => {
                line += 1;
                while let Some(space) = chars.next_if(|c| c.is_whitespace()) {
                    line += usize::from(space == '\n');
                }
                let goes_on =
                    chars.peek().is_some_and(|next| is_sign(*next) || matches!(next, '[' | '(' | '#'));
                if ended && !goes_on {
                    chain = 0;
                }
            }
            '(' | '[' | '{' => {
                depth += 1;
                chain += usize::from(c != '{');
                // What stands in braces after `if` is a list of its own.
                ended = c == '{';
                if depth > DEEPEST {
                    return Err((line, TooMuch::Nested));
                }
            }
            ')' | ']' | '}' => (depth, ended) = (depth.saturating_sub(1), true),
            ',' | ';' => (chain, ended) = (0, false),
            c if is_sign(c) => {
                chain += 1;
                ended = false;
            }
            c if c.is_whitespace() => {}
            _ => ended = true,
        }
        if chain > LONGEST_CHAIN {
            return Err((line, TooMuch::Chained));
        }
    }
    Ok(())
}

const fn is_sign(c: char) -> bool {
    matches!(c, '.' | '+' | '-' | '*' | '/' | '%' | '|' | '&' | '=' | '<' | '>' | '!' | ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_passes() {
        let module = "package hours # ((((((((((((
allow if {
  input.request.time.hour >= 8
  some g in input.person.groups
  g in {\"leads\", \"((((((((((\", `[[[[[[[[[[`}
  count([x | some x in input.person.groups; startswith(x, \"a\\\"(((((((((\")]) > 1
}
";
        assert_eq!(check(module), Ok(()));
        let long = format!("package a\n{}", "allow if input.person.name == \"ada\"\n".repeat(500));
        assert_eq!(check(&long), Ok(()), "each line is an expression of its own");
        let list = format!("package a\nx := {{{}}}\n", "1.5, ".repeat(2_000));
        assert_eq!(check(&list), Ok(()), "each entry too");
    }

    #[test]
    fn what_would_recurse_is_refused_with_its_line() {
        let chain = |sign: &str| format!("package a\nx := 1{}", sign.repeat(200));
        for (text, found) in [
            ("package a\nx := [[[[[[[[[".to_owned(), (2, TooMuch::Nested)),
            ("package a\nx := \n(\n[{(\n[{([{".to_owned(), (5, TooMuch::Nested)),
            (chain("+1"), (2, TooMuch::Chained)),
            (chain(".a"), (2, TooMuch::Chained)),
            (chain("[0]"), (2, TooMuch::Chained)),
            (chain("|{1}"), (2, TooMuch::Chained)),
            (chain("\n+ 1"), (101, TooMuch::Chained)),
            (chain(" +\n1"), (100, TooMuch::Chained)),
            (chain("# x\n\n+ 1"), (200, TooMuch::Chained)),
            (chain("\n[0]"), (101, TooMuch::Chained)),
            ("package a\n\nx := \"\\\"".to_owned(), (3, TooMuch::Open)),
        ] {
            assert_eq!(check(&text), Err(found), "{}", text.chars().take(40).collect::<String>());
        }
    }
}
