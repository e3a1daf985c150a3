//! Our own spelling of a statement: for people and patterns, and for the parser.

use super::lexer::Token;

/// Words in small letters, one space between tokens that need one, literals as `?`.
pub(super) fn normal(tokens: &[Token<'_>]) -> String {
    spell(tokens, |token, out| match token {
        Token::Word(word) => out.push_str(word),
        Token::Quoted(name) => quote(name, out),
        Token::Text | Token::Number | Token::Parameter => out.push('?'),
        Token::Operator(operator) => out.push_str(operator),
        Token::Sign(sign) => out.push(char::from(*sign)),
    })
}

/// The same, with literals that a parser takes.
pub(super) fn for_the_parser(tokens: &[Token<'_>]) -> String {
    spell(tokens, |token, out| match token {
        Token::Word(word) => out.push_str(word),
        Token::Quoted(name) => quote(name, out),
        Token::Text => out.push_str("''"),
        Token::Number => out.push('1'),
        Token::Parameter => out.push_str("$1"),
        Token::Operator(operator) => out.push_str(operator),
        Token::Sign(sign) => out.push(char::from(*sign)),
    })
}

fn spell(tokens: &[Token<'_>], write: impl Fn(&Token<'_>, &mut String)) -> String {
    let mut out = String::with_capacity(tokens.len() * 6);
    let mut before: Option<&Token<'_>> = None;
    for token in tokens {
        if before.is_some_and(|before| is_apart(before, token)) {
            out.push(' ');
        }
        write(token, &mut out);
        before = Some(token);
    }
    out
}

/// The parts of a qualified name and what is called stand together, and so do colons; two operators never do.
const fn is_apart(before: &Token<'_>, token: &Token<'_>) -> bool {
    !matches!(
        (before, token),
        (Token::Sign(b'.' | b'(' | b'['), _)
            | (_, Token::Sign(b'.' | b',' | b')' | b']' | b';'))
            | (Token::Word(_) | Token::Quoted(_), Token::Sign(b'(' | b'['))
            | (Token::Sign(b':'), Token::Sign(b':'))
    )
}

fn quote(name: &str, out: &mut String) {
    out.push('"');
    out.push_str(&name.replace('"', "\"\""));
    out.push('"');
}
