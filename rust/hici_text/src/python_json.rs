// SPDX-License-Identifier: Apache-2.0
//! Values of a template as Python's json.dumps writes them.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

/// json.dumps' arguments.
pub struct Layout {
    pub item_separator: String,
    pub key_separator: String,
    pub ensure_ascii: bool,
    pub sort_keys: bool,
    /// What one level is indented by; None: everything on one line.
    indent: Option<String>,
}

impl Default for Layout {
    fn default() -> Layout {
        Layout { item_separator: ", ".into(), key_separator: ": ".into(), ensure_ascii: false, sort_keys: false, indent: None }
    }
}

impl Layout {
    /// A number of spaces or the text itself. With an indent, items are separated by a comma alone.
    pub fn set_indent(&mut self, indent: Option<Value>) -> Result<(), Error> {
        const MAX_INDENT: usize = 64;
        let Some(indent) = indent else { return Ok(()) };
        self.indent = Some(match indent.as_str() {
            Some(text) if text.len() > MAX_INDENT => {
                let message = format!("tojson: an indent of {} bytes, more than {MAX_INDENT}", text.len());
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
            Some(text) => text.to_string(),
            None => " ".repeat(usize::try_from(indent)?.min(MAX_INDENT)),
        });
        self.item_separator = ",".into();
        Ok(())
    }
}

pub fn dump(state: &State, value: &Value, layout: &Layout) -> Result<String, Error> {
    let mut out = String::new();
    write_value(state, value, layout, 0, &mut out)?;
    Ok(out)
}

/// What a value costs in fuel, beside what the engine charges for the text as a whole: a list may hold itself many times over.
const FUEL_FOR_EACH_VALUE: u64 = 2;

fn write_value(state: &State, value: &Value, layout: &Layout, depth: usize, out: &mut String) -> Result<(), Error> {
    const MAX_DEPTH: usize = 100;
    if depth > MAX_DEPTH {
        return Err(Error::new(ErrorKind::InvalidOperation, format!("tojson: nested deeper than {MAX_DEPTH} levels")));
    }
    let begin = out.len();
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&number_text(value)),
        ValueKind::String => write_text(value.as_str().unwrap_or_default(), layout, out),
        ValueKind::Seq => {
            let items = value.try_iter()?.map(|item| (None, item)).collect();
            return write_items(state, ['[', ']'], items, layout, depth, out);
        }
        ValueKind::Map => return write_items(state, ['{', '}'], members(value, layout)?, layout, depth, out),
        kind => return Err(Error::new(ErrorKind::InvalidOperation, format!("tojson: a value of type {kind} has no JSON form"))),
    }
    charge(state, out.len() - begin)
}

/// For a value and the text that it took.
fn charge(state: &State, num_bytes: usize) -> Result<(), Error> {
    const BYTES_FOR_A_UNIT: u64 = 4; // as the engine's own filter: writing JSON is slower than copying
    state.consume_fuel(FUEL_FOR_EACH_VALUE + num_bytes as u64 / BYTES_FOR_A_UNIT)
}

fn members(value: &Value, layout: &Layout) -> Result<Vec<(Option<String>, Value)>, Error> {
    let mut members = Vec::new();
    for key in value.try_iter()? {
        let item = value.get_item(&key)?;
        members.push((Some(key_text(&key)), item));
    }
    if layout.sort_keys {
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    Ok(members)
}

fn key_text(key: &Value) -> String {
    match key.kind() {
        ValueKind::None => "null".into(),
        ValueKind::Bool => if key.is_true() { "true" } else { "false" }.into(),
        ValueKind::Number => number_text(key),
        _ => key.to_string(),
    }
}

fn write_items(state: &State, brackets: [char; 2], items: Vec<(Option<String>, Value)>, layout: &Layout, depth: usize, out: &mut String) -> Result<(), Error> {
    out.push(brackets[0]);
    let new_line = |levels: usize, out: &mut String| {
        if let Some(indent) = &layout.indent {
            out.push('\n');
            out.push_str(&indent.repeat(levels));
        }
    };
    for (i, (key, item)) in items.iter().enumerate() {
        let begin = out.len();
        if i > 0 {
            out.push_str(&layout.item_separator);
        }
        new_line(depth + 1, out);
        if let Some(key) = key {
            write_text(key, layout, out);
            out.push_str(&layout.key_separator);
        }
        charge(state, out.len() - begin)?;
        write_value(state, item, layout, depth + 1, out)?;
    }
    charge(state, 0)?;
    if !items.is_empty() {
        new_line(depth, out);
    }
    out.push(brackets[1]);
    Ok(())
}

fn write_text(text: &str, layout: &Layout, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' || (layout.ensure_ascii && c >= '\u{7f}') => {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Python's repr: the shortest digits, with an exponent from 1e16 up and below 1e-4.
fn number_text(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let number = f64::try_from(value.clone()).unwrap_or(f64::NAN);
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    if number == 0.0 || (1e-4..1e16).contains(&number.abs()) {
        return format!("{number:?}");
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, size) = exponent.strip_prefix('-').map_or(("+", exponent), |size| ("-", size));
    format!("{digits}e{sign}{size:0>2}")
}
