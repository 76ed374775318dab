//! Operator-precedence parser (Pratt) with the precedences of Python.
//!
//! From loose to tight: `or`; `and`; `not`; comparisons, which chain; `+ -`; `* /`; signs; `**`, which takes a signed
//! exponent and associates to the right. Hence -x**2 = -(x**2), 2**-1 = 0.5, 2**3**2 = 512.
//! Reference: Pratt, Top down operator precedence, POPL 1973; Python Language Reference, section 6.17.

use super::error::FormulaError;
use super::functions::{CONSTANTS, FUNCTIONS, Function, REFUSED, find, suggest};
use super::lexer::{Lexer, Token};
use super::program::{Binary, Builder, Id, Program, Unary};

/// Levels of nesting allowed: parentheses, calls, signs, powers and right operands each count for one.
pub(super) const DEPTH_LIMIT: usize = 200;

const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;
const COMPARISON: u8 = 4;
const SUM: u8 = 5;
const PRODUCT: u8 = 6;
const SIGN: u8 = 7;
const POWER: u8 = 8;

/// Errors travel in a box, which keeps the frames of the recursion small.
pub(super) type Parsed<T> = Result<T, Box<FormulaError>>;

/// The compiled formula, and the variables that occur in the text (bit i for variable i).
pub(super) fn parse(text: &str, variables: &[String]) -> Parsed<(Program, u128)> {
    let mut lexer = Lexer::new(text);
    let (token, column) = lexer.next()?;
    let mut parser = Parser { text, variables, lexer, token, column, depth: 0, occurring: 0, builder: Builder::default() };
    let root = parser.expression(OR)?;
    if parser.token != Token::End {
        return Err(parser.no_operator("an operator or the end"));
    }
    Ok((parser.builder.finish(root), parser.occurring))
}

struct Parser<'a> {
    text: &'a str,
    variables: &'a [String],
    lexer: Lexer<'a>,
    /// The token to be read next, and its column.
    token: Token,
    column: usize,
    depth: usize,
    occurring: u128,
    builder: Builder,
}

impl Parser<'_> {
    /// Take the token and move to the next one.
    fn advance(&mut self) -> Parsed<Token> {
        let (token, column) = self.lexer.next()?;
        self.column = column;
        Ok(std::mem::replace(&mut self.token, token))
    }

    #[cold]
    fn syntax(&self, column: usize, found: &Token, expected: &str) -> Box<FormulaError> {
        Box::new(FormulaError::Syntax {
            formula: self.text.to_string(),
            column,
            found: found.to_string(),
            expected: expected.to_string(),
        })
    }

    #[cold]
    fn too_deep(&self) -> Box<FormulaError> {
        Box::new(FormulaError::TooDeep { formula: self.text.to_string(), column: self.column, limit: DEPTH_LIMIT })
    }

    /// The error for a value that is not followed by what may follow it.
    #[cold]
    fn no_operator(&self, expected: &str) -> Box<FormulaError> {
        let advice = match &self.token {
            Token::Name(name) if find(REFUSED, name).is_some() => find(REFUSED, name),
            Token::Number(_) | Token::Name(_) | Token::Open => Some("an operator (a product is written with `*`)"),
            _ => None,
        };
        self.syntax(self.column, &self.token, advice.unwrap_or(expected))
    }

    /// An expression of operators that bind at least as tightly as `minimum`.
    fn expression(&mut self, minimum: u8) -> Parsed<Id> {
        if self.depth == DEPTH_LIMIT {
            return Err(self.too_deep());
        }
        self.depth += 1;
        let mut left = self.prefix(minimum)?;
        loop {
            // (operation, how tightly it binds, what its right operand must bind at least)
            let (f, level, right) = match self.token {
                Token::Or => (Binary::Or, OR, AND),
                Token::And => (Binary::And, AND, NOT),
                Token::Plus => (Binary::Add, SUM, PRODUCT),
                Token::Minus => (Binary::Sub, SUM, PRODUCT),
                Token::Star => (Binary::Mul, PRODUCT, SIGN),
                Token::Slash => (Binary::Div, PRODUCT, SIGN),
                Token::Power => (Binary::Pow, POWER, SIGN),
                _ if comparison(&self.token).is_some() && minimum <= COMPARISON => {
                    left = self.comparisons(left)?;
                    continue;
                }
                _ => break,
            };
            if level < minimum {
                break;
            }
            self.advance()?;
            let operand = self.expression(right)?;
            left = self.builder.binary(f, left, operand);
        }
        self.depth -= 1;
        Ok(left)
    }

    /// `a < b < c` means `a < b and b < c`.
    fn comparisons(&mut self, first: Id) -> Parsed<Id> {
        let (mut left, mut all) = (first, None);
        while let Some((f, swapped)) = comparison(&self.token) {
            self.advance()?;
            let right = self.expression(SUM)?;
            let holds = if swapped { self.builder.binary(f, right, left) } else { self.builder.binary(f, left, right) };
            all = Some(match all {
                Some(before) => self.builder.binary(Binary::And, before, holds),
                None => holds,
            });
            left = right;
        }
        Ok(all.unwrap_or(first))
    }

    /// A number, name, call, parenthesis, or a signed or negated expression.
    fn prefix(&mut self, minimum: u8) -> Parsed<Id> {
        let column = self.column;
        match self.advance()? {
            Token::Number(x) => Ok(self.builder.constant(x)),
            Token::Name(name) => self.name(name, column),
            Token::Open => {
                let inner = self.expression(OR)?;
                self.close(column)?;
                Ok(inner)
            }
            Token::Plus => self.expression(SIGN),
            Token::Minus => {
                let operand = self.expression(SIGN)?;
                Ok(self.builder.unary(Unary::Neg, operand))
            }
            Token::Not if minimum <= NOT => {
                let operand = self.expression(NOT)?;
                Ok(self.builder.unary(Unary::Not, operand))
            }
            Token::Not => Err(self.syntax(column, &Token::Not, "a value (put `not ...` into parentheses here)")),
            found => Err(self.syntax(column, &found, "a number, a name, a sign or `(`")),
        }
    }

    fn close(&mut self, opened: usize) -> Parsed<()> {
        if self.token != Token::Close {
            return Err(self.no_operator(&format!("an operator, or `)` for the parenthesis opened at column {opened}")));
        }
        self.advance().map(|_| ())
    }

    /// What a name stands for; its token has been taken.
    fn name(&mut self, name: String, column: usize) -> Parsed<Id> {
        let called = self.token == Token::Open;
        if let Some(index) = self.variables.iter().position(|v| *v == name) {
            if called {
                return Err(self.no_operator("an operator"));
            }
            self.occurring |= 1 << index;
            return Ok(self.builder.variable(index as u32));
        }
        if let Some(value) = find(CONSTANTS, &name) {
            return Ok(self.builder.constant(value));
        }
        if let Some(function) = find(FUNCTIONS, &name) {
            if !called {
                return Err(self.syntax(self.column, &self.token, &format!("`(` after the function {name}")));
            }
            return self.call(name, function, column);
        }
        if let Some(advice) = find(REFUSED, &name) {
            return Err(self.syntax(column, &Token::Name(name), advice));
        }
        Err(self.unknown(name, column, called))
    }

    #[cold]
    fn unknown(&self, name: String, column: usize, called: bool) -> Box<FormulaError> {
        let functions = FUNCTIONS.iter().map(|&(name, _)| name);
        let values = self.variables.iter().map(String::as_str).chain(CONSTANTS.iter().map(|&(name, _)| name));
        let (kind, suggestion, allowed) = if called {
            ("function", suggest(&name, functions.clone()), functions.map(String::from).collect())
        } else {
            ("variable", suggest(&name, values.chain(functions)), self.variables.to_vec())
        };
        Box::new(FormulaError::UnknownName { formula: self.text.to_string(), column, kind, name, suggestion, allowed })
    }

    /// The arguments of a call; the token is its `(`.
    fn call(&mut self, name: String, function: Function, column: usize) -> Parsed<Id> {
        let opened = self.column;
        self.advance()?;
        let mut arguments = Vec::new();
        if self.token != Token::Close {
            arguments.push(self.expression(OR)?);
            while self.token == Token::Comma {
                self.advance()?;
                arguments.push(self.expression(OR)?);
            }
        }
        self.close(opened)?;
        self.apply(name, function, column, &arguments)
    }

    fn apply(&mut self, name: String, function: Function, column: usize, arguments: &[Id]) -> Parsed<Id> {
        let expected = match (function, arguments) {
            (Function::One(f), &[a]) => return Ok(self.builder.unary(f, a)),
            (Function::Two(f), &[a, b]) => return Ok(self.builder.binary(f, a, b)),
            (Function::Where, &[c, a, b]) => return Ok(self.builder.select(c, a, b)),
            (Function::Many(f), &[first, ref rest @ ..]) if !rest.is_empty() => {
                return Ok(rest.iter().fold(first, |a, &b| self.builder.binary(f, a, b)));
            }
            (Function::One(_), _) => "1",
            (Function::Two(_), _) => "2",
            (Function::Many(_), _) => "2 or more",
            (Function::Where, _) => "3: where(condition, a, b)",
        };
        let (formula, found) = (self.text.to_string(), arguments.len());
        Err(Box::new(FormulaError::Arguments { formula, column, function: name, found, expected }))
    }
}

/// The operation of a comparison, and whether its operands are swapped.
fn comparison(token: &Token) -> Option<(Binary, bool)> {
    match token {
        Token::Less => Some((Binary::Less, false)),
        Token::LessEqual => Some((Binary::LessEqual, false)),
        Token::Greater => Some((Binary::Less, true)),
        Token::GreaterEqual => Some((Binary::LessEqual, true)),
        Token::Equal => Some((Binary::Equal, false)),
        Token::NotEqual => Some((Binary::NotEqual, false)),
        _ => None,
    }
}
