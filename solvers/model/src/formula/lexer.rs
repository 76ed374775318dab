//! From characters to tokens.

use super::error::FormulaError;
use super::parser::Parsed;

/// A token; keywords are the words of Python.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Number(f64),
    Name(String),
    Plus,
    Minus,
    Star,
    Slash,
    Power,
    Open,
    Close,
    Comma,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
    And,
    Or,
    Not,
    End,
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Token::Number(x) => return write!(f, "the number {x}"),
            Token::Name(name) => return write!(f, "`{name}`"),
            Token::End => return write!(f, "the end"),
            Token::Plus => "+",
            Token::Minus => "-",
            Token::Star => "*",
            Token::Slash => "/",
            Token::Power => "**",
            Token::Open => "(",
            Token::Close => ")",
            Token::Comma => ",",
            Token::Less => "<",
            Token::LessEqual => "<=",
            Token::Greater => ">",
            Token::GreaterEqual => ">=",
            Token::Equal => "==",
            Token::NotEqual => "!=",
            Token::And => "and",
            Token::Or => "or",
            Token::Not => "not",
        };
        write!(f, "`{text}`")
    }
}

/// Reads tokens one at a time, so that the first error in the text is the one reported.
pub(super) struct Lexer<'a> {
    text: &'a str,
    chars: Vec<char>,
    position: usize,
}

/// Whether `c` may begin a name.
pub(super) fn begins_name(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

/// Whether `c` may stand inside a name.
pub(super) fn continues_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Lexer { text, chars: text.chars().collect(), position: 0 }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.position + ahead).copied()
    }

    fn digit(&self, ahead: usize) -> bool {
        self.peek(ahead).is_some_and(|c| c.is_ascii_digit())
    }

    fn skip_digits(&mut self) {
        while self.digit(0) {
            self.position += 1;
        }
    }

    /// The next token and its column.
    pub(super) fn next(&mut self) -> Parsed<(Token, usize)> {
        while self.peek(0).is_some_and(char::is_whitespace) {
            self.position += 1;
        }
        let column = self.position + 1;
        let Some(c) = self.peek(0) else { return Ok((Token::End, column)) };
        if c.is_ascii_digit() || (c == '.' && self.digit(1)) {
            return Ok((Token::Number(self.number(column)?), column));
        }
        if begins_name(c) {
            let start = self.position;
            while self.peek(0).is_some_and(continues_name) {
                self.position += 1;
            }
            let name: String = self.chars[start..self.position].iter().collect();
            let token = match name.as_str() {
                "and" => Token::And,
                "or" => Token::Or,
                "not" => Token::Not,
                _ => Token::Name(name),
            };
            return Ok((token, column));
        }
        let (token, length) = match (c, self.peek(1)) {
            ('*', Some('*')) => (Token::Power, 2),
            ('<', Some('=')) => (Token::LessEqual, 2),
            ('>', Some('=')) => (Token::GreaterEqual, 2),
            ('=', Some('=')) => (Token::Equal, 2),
            ('!', Some('=')) => (Token::NotEqual, 2),
            ('*', _) => (Token::Star, 1),
            ('<', _) => (Token::Less, 1),
            ('>', _) => (Token::Greater, 1),
            ('^', _) => (Token::Power, 1),
            ('+', _) => (Token::Plus, 1),
            ('-', _) => (Token::Minus, 1),
            ('/', _) => (Token::Slash, 1),
            ('(', _) => (Token::Open, 1),
            (')', _) => (Token::Close, 1),
            (',', _) => (Token::Comma, 1),
            _ => return Err(self.unexpected(c, column)),
        };
        self.position += length;
        Ok((token, column))
    }

    /// Digits with an optional point and exponent: `1`, `1.`, `.5`, `1e-3`. An `e` without digits after it is left alone.
    fn number(&mut self, column: usize) -> Parsed<f64> {
        let start = self.position;
        self.skip_digits();
        if self.peek(0) == Some('.') {
            self.position += 1;
            self.skip_digits();
        }
        if matches!(self.peek(0), Some('e' | 'E')) {
            let signed = matches!(self.peek(1), Some('+' | '-'));
            if self.digit(1 + usize::from(signed)) {
                self.position += 1 + usize::from(signed);
                self.skip_digits();
            }
        }
        let digits: String = self.chars[start..self.position].iter().collect();
        match digits.parse::<f64>() {
            Ok(x) if x.is_finite() => Ok(x),
            _ => Err(Box::new(FormulaError::Syntax {
                formula: self.text.to_string(),
                column,
                found: format!("`{digits}`"),
                expected: format!("a number of size at most {:e}", f64::MAX),
            })),
        }
    }

    fn unexpected(&self, c: char, column: usize) -> Box<FormulaError> {
        let expected = match c {
            '=' => "an operator (equality is written `==`)",
            '&' => "an operator (write `and`)",
            '|' => "an operator (write `or`, or `abs(...)` for the size of a number)",
            '!' => "an operator (write `not`, or `!=` for inequality)",
            '?' | ':' => "an operator (write `where(condition, a, b)`)",
            '[' | ']' | '{' | '}' => "round parentheses (variables carry their index in the name)",
            '.' => "a number or a name (functions have no prefix: write `exp(x)`)",
            '%' => "one of + - * / ** (write `a - b*floor(a/b)` for the remainder)",
            _ => "a number, a name, an operator or a parenthesis",
        };
        Box::new(FormulaError::Syntax {
            formula: self.text.to_string(),
            column,
            found: format!("`{}`", c.escape_debug()),
            expected: expected.to_string(),
        })
    }
}
