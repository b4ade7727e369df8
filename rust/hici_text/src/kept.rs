// SPDX-License-Identifier: Apache-2.0
//! What a template may keep in a namespace.
//!
//! A namespace is the only thing in Jinja that changes once it is there, so that a value without end can only be made in
//! one. Every value that is set there (`{% set namespace.name = ... %}`) goes through a filter of ours, which bounds its
//! depth and keeps namespaces out. What the engine would work out only when it is looked at is worked out here.

use minijinja::machinery::{tokenize, Span, Token};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{DynObject, Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use std::sync::OnceLock;

/// The filter's name in the source that with_guards() gives.
pub const FILTER: &str = "hici_kept";
/// Of lists in lists. Python itself gives up at a thousand.
const MAX_DEPTH: usize = 100;
/// So many values are looked at for a unit of fuel.
const VALUES_FOR_A_UNIT: u64 = 2;

// ---- in the source ---------------------------------------------------------------------------------------------

/// `source` with `{% set a.b = VALUE %}` as `{% set a.b = (VALUE)|hici_kept %}`, and the same for blocks that are set.
/// What is no template stays as it is: the compiler says what is wrong.
pub fn with_guards(source: &str, syntax: SyntaxConfig) -> String {
    let mut out = String::with_capacity(source.len());
    let mut done = 0;
    let mut statement: Option<Vec<(Token, Span)>> = None;
    for (token, span) in tokenize(source, false, syntax).map_while(Result::ok) {
        match token {
            Token::BlockStart => statement = Some(Vec::new()),
            Token::BlockEnd => {
                for (at, text) in statement.take().map_or(Vec::new(), |tokens| insertions(&tokens)) {
                    out.push_str(&source[done..at]);
                    out.push_str(&text);
                    done = at;
                }
            }
            token => {
                if let Some(tokens) = statement.as_mut() {
                    tokens.push((token, span));
                }
            }
        }
    }
    out.push_str(&source[done..]);
    out
}

/// What must stand in a statement, at bytes of the source.
fn insertions(statement: &[(Token, Span)]) -> Vec<(usize, String)> {
    let [(Token::Ident("set"), _), rest @ ..] = statement else { return Vec::new() };
    let Some((_, last)) = rest.last() else { return Vec::new() };
    let end = last.end_offset as usize;
    let sign = rest.iter().position(|(token, _)| matches!(token, Token::Assign | Token::Pipe));
    let (target, value) = rest.split_at(sign.unwrap_or(rest.len()));
    if !target.iter().any(|(token, _)| matches!(token, Token::Dot)) {
        return Vec::new();
    }
    match value {
        [(Token::Assign, sign), value @ ..] if !value.is_empty() && is_balanced(value) => {
            vec![(sign.end_offset as usize, " (".to_string()), (end, format!(")|{FILTER}"))]
        }
        [(Token::Assign, _), ..] => Vec::new(), // no value at all, or `1) + (2`: never compiled
        _ => vec![(end, format!("|{FILTER}"))],
    }
}

/// False where brackets around the tokens would not enclose all of them.
fn is_balanced(tokens: &[(Token, Span)]) -> bool {
    let mut open = Vec::new();
    tokens.iter().all(|(token, _)| match token {
        Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => {
            open.push(token);
            true
        }
        Token::ParenClose => matches!(open.pop(), Some(Token::ParenOpen)),
        Token::BracketClose => matches!(open.pop(), Some(Token::BracketOpen)),
        Token::BraceClose => matches!(open.pop(), Some(Token::BraceOpen)),
        _ => true,
    }) && open.is_empty()
}

// ---- at work ---------------------------------------------------------------------------------------------------

pub fn kept(state: &State, value: Value) -> Result<Value, Error> {
    let mut walk = Walk { state, num_values: 0 };
    Ok(walk.replacement(&value, 0)?.unwrap_or(value))
}

struct Walk<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    num_values: u64,
}

impl Walk<'_, '_, '_> {
    /// None: the value may be kept as it is.
    fn replacement(&mut self, value: &Value, depth: usize) -> Result<Option<Value>, Error> {
        self.num_values += 1;
        if self.num_values % VALUES_FOR_A_UNIT == 0 {
            self.state.consume_fuel(1)?;
        }
        let Some(object) = value.as_object() else { return Ok(None) };
        if is_namespace(object) {
            return refused("a namespace cannot hold another one; set its values one by one".to_string());
        }
        let is_list = match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => true,
            ValueKind::Map => false,
            _ => return Ok(None),
        };
        if is_macro(object) {
            return Ok(None);
        }
        if depth >= MAX_DEPTH {
            return refused(format!("a namespace cannot hold lists nested deeper than {MAX_DEPTH} levels"));
        }
        if is_list {
            self.list(value, depth)
        } else {
            self.map(value, depth)
        }
    }

    fn list(&mut self, value: &Value, depth: usize) -> Result<Option<Value>, Error> {
        let mut is_new = !is_plain(value);
        let mut items = Vec::new();
        for item in value.try_iter()?.checked() {
            let item = item?;
            let replacement = self.replacement(&item, depth + 1)?;
            is_new |= replacement.is_some();
            items.push(replacement.unwrap_or(item));
        }
        Ok(is_new.then(|| if value.is_tuple() { Value::from(Tuple::from(items)) } else { Value::from(items) }))
    }

    fn map(&mut self, value: &Value, depth: usize) -> Result<Option<Value>, Error> {
        let mut is_new = !is_plain(value);
        let mut items = Vec::new();
        for key in value.try_iter()?.checked() {
            let key = key?;
            let item = value.get_item(&key)?;
            let replacements = (self.replacement(&key, depth + 1)?, self.replacement(&item, depth + 1)?);
            is_new |= replacements.0.is_some() || replacements.1.is_some();
            items.push((replacements.0.unwrap_or(key), replacements.1.unwrap_or(item)));
        }
        Ok(is_new.then(|| Value::from_pairs(items)))
    }
}

fn refused<T>(message: String) -> Result<T, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// Types of the engine, most of which it does not name to others.
fn type_of(value: &Value) -> &'static str {
    value.as_object().map_or("", DynObject::type_name)
}

fn is_namespace(object: &DynObject) -> bool {
    static NAME: OnceLock<&str> = OnceLock::new();
    object.type_name() == *NAME.get_or_init(|| minijinja::functions::namespace(None).as_ref().map_or("", type_of))
}

/// It names what it needs by number, and holds no value.
fn is_macro(object: &DynObject) -> bool {
    object.type_name().ends_with("::Macro")
}

/// Lists, tuples and dictionaries that hold their items, and nothing that finds them when it is asked.
fn is_plain(value: &Value) -> bool {
    static NAMES: OnceLock<[&str; 3]> = OnceLock::new();
    let names = || {
        let nothing = || Value::from(());
        let examples = [Value::from(vec![nothing()]), Value::from(Tuple::from(vec![nothing()])), Value::from_pairs([(nothing(), nothing())])];
        examples.map(|example| type_of(&example))
    };
    NAMES.get_or_init(names).contains(&type_of(value))
}
