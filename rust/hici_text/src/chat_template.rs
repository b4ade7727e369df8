// SPDX-License-Identifier: Apache-2.0
//! Chat templates: Jinja as transformers' apply_chat_template sets it up.

use crate::ffi::Result;
use crate::python_json::{self, Layout};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use serde_json::{Map, Value as Json};

const NAME: &str = "chat template";
const GENERATION: &str = "hici_generation";
/// Around what a `{% generation %}` block wrote: noncharacters of Unicode, which no text holds (render() checks it).
const MARKS: [char; 2] = ['\u{FDD0}', '\u{FDD1}'];
/// Names of a message's reasoning; transformers gives it to the template under the first two.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

pub struct ChatTemplate {
    environment: Environment<'static>,
    marks_generation: bool,
}

pub struct Rendered {
    pub text: String,
    /// Bytes [start, end) of the text that each generation block wrote, one after the other.
    pub generation: Vec<usize>,
}

impl ChatTemplate {
    pub fn new(source: &str) -> Result<ChatTemplate> {
        let rewritten = generation_as_call(source);
        let marks_generation = rewritten != source;
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(|e| one_line(&e))?;
        environment.set_syntax(syntax);
        environment.set_unknown_method_callback(python_method);
        environment.add_filter("tojson", to_json);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_function(GENERATION, generation);
        environment.add_test("sequence", |v: &Value| v.is_undefined() || has_length(v));
        environment.add_test("iterable", |v: &Value| v.is_undefined() || has_length(v) || v.try_iter().is_ok());
        environment.add_template_owned(NAME, rewritten).map_err(|e| one_line(&e))?;
        Ok(ChatTemplate { environment, marks_generation })
    }

    pub fn marks_generation(&self) -> bool {
        self.marks_generation
    }

    /// `variables` is a JSON object: all that the template sees.
    pub fn render(&self, variables: &str) -> Result<Rendered> {
        let mut variables: Map<String, Json> = serde_json::from_str(variables).map_err(|e| format!("the variables are no JSON object: {e}"))?;
        if let Some(Json::Array(messages)) = variables.get_mut("messages") {
            messages.iter_mut().for_each(alias_reasoning);
        }
        if self.marks_generation && variables.values().any(holds_mark) {
            return Err("the messages hold the characters U+FDD0 or U+FDD1, which mark what an assistant writes".to_string());
        }
        let template = self.environment.get_template(NAME).map_err(|e| one_line(&e))?;
        let text = template.render(Value::from(Serde(&variables))).map_err(|e| one_line(&e))?;
        Ok(if self.marks_generation { take_marks_out(&text) } else { Rendered { text, generation: Vec::new() } })
    }
}

/// What raise_exception() was called with, found again at the end of an error's chain of sources.
#[derive(Debug)]
struct Raised(String);

impl std::fmt::Display for Raised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

fn raise_exception(message: &Value) -> std::result::Result<Value, Error> {
    let message = message.to_string();
    Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
}

fn one_line(error: &Error) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(at) = cause {
        if let Some(raised) = at.downcast_ref::<Raised>() {
            return raised.0.clone();
        }
        cause = at.source();
    }
    error.to_string()
}

fn to_json(value: &Value, indent: Option<Value>, options: Kwargs) -> std::result::Result<String, Error> {
    let indent = indent.or(options.get("indent")?);
    let separators: Option<Vec<String>> = options.get("separators")?;
    let mut layout = Layout::default();
    layout.ensure_ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    layout.sort_keys = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    options.assert_all_used()?;
    layout.set_indent(indent.filter(|i| !i.is_none() && !i.is_undefined()))?;
    match separators.as_deref() {
        Some([item, key]) => (layout.item_separator, layout.key_separator) = (item.clone(), key.clone()),
        Some(other) => return Err(Error::new(ErrorKind::InvalidOperation, format!("tojson: separators has {} parts, expected 2", other.len()))),
        None => {}
    }
    python_json::dump(value, &layout)
}

fn generation(state: &mut State, options: Kwargs) -> std::result::Result<String, Error> {
    let caller: Value = options.get("caller")?;
    Ok(format!("{}{}{}", MARKS[0], caller.call(state, &[])?, MARKS[1]))
}

/// Python's strftime with the present local time, which is C's.
fn strftime_now(format: &str) -> std::result::Result<String, Error> {
    const MAX_BYTES: usize = 4096;
    // A character in front: an empty result and one that did not fit are both 0 to strftime.
    let format = std::ffi::CString::new(format!("x{format}"))
        .map_err(|_| Error::new(ErrorKind::InvalidOperation, "strftime_now: the format holds a NUL"))?;
    let mut buffer = vec![0u8; MAX_BYTES];
    // Safety: `now` and `parts` are plain values that the two calls fill in; strftime gets the buffer's own size.
    let written = unsafe {
        let now = libc::time(std::ptr::null_mut());
        let mut parts: libc::tm = std::mem::zeroed();
        libc::localtime_r(&now, &mut parts);
        libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), &parts)
    };
    match written {
        0 => Err(Error::new(ErrorKind::InvalidOperation, format!("strftime_now: gives more than {MAX_BYTES} bytes"))),
        _ => Ok(String::from_utf8_lossy(&buffer[1..written]).into_owned()),
    }
}

/// minijinja's own set of Python's methods, the ones of newer Pythons that it lacks, and title(), which it has as Jinja's
/// filter of that name.
fn python_method(state: &mut State, value: &Value, method: &str, args: &[Value]) -> std::result::Result<Value, Error> {
    if let (Some(text), [part]) = (value.as_str(), args) {
        let part = part.as_str().unwrap_or_default();
        match method {
            "removeprefix" => return Ok(Value::from(text.strip_prefix(part).unwrap_or(text))),
            "removesuffix" => return Ok(Value::from(text.strip_suffix(part).unwrap_or(text))),
            _ => {}
        }
    }
    if let (Some(text), "title", []) = (value.as_str(), method, args) {
        return Ok(Value::from(title(text)));
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
}

/// A capital wherever the character before has no case.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_lowercase() || c.is_uppercase();
    }
    out
}

/// Jinja calls everything a sequence that has a length and takes an index: dictionaries and strings too.
fn has_length(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String)
}

/// {"thinking": reasoning, **message, "reasoning_content": reasoning}, in the order that Python gives this.
fn alias_reasoning(message: &mut Json) {
    let Json::Object(fields) = message else { return };
    let Some(reasoning) = REASONING.iter().find_map(|name| fields.get(*name).filter(|value| !value.is_null())).cloned() else { return };
    let mut aliased = Map::new();
    aliased.insert(REASONING[1].to_string(), reasoning.clone());
    aliased.append(fields);
    aliased.insert(REASONING[0].to_string(), reasoning);
    *fields = aliased;
}

fn holds_mark(value: &Json) -> bool {
    match value {
        Json::String(text) => text.contains(MARKS),
        Json::Array(items) => items.iter().any(holds_mark),
        Json::Object(items) => items.iter().any(|(key, item)| key.contains(MARKS) || holds_mark(item)),
        _ => false,
    }
}

/// `{% generation %}` and `{% endgeneration %}` are tags of transformers' own. As a call block they keep their
/// whitespace control and their scope.
fn generation_as_call(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at + 2);
        out.push_str(before);
        rest = tag;
        let Some((inside, after)) = tag.split_once("%}") else { break };
        let name = inside.trim_matches(['-', '+']).trim();
        let replacement = match name {
            "generation" => format!("call {GENERATION}()"),
            "endgeneration" => "endcall".to_string(),
            _ => continue,
        };
        out.push_str(&inside.replacen(name, &replacement, 1));
        out.push_str("%}");
        rest = after;
    }
    out.push_str(rest);
    out
}

fn take_marks_out(marked: &str) -> Rendered {
    let mut rendered = Rendered { text: String::with_capacity(marked.len()), generation: Vec::new() };
    let mut rest = marked;
    while let Some(at) = rest.find(MARKS) {
        rendered.text.push_str(&rest[..at]);
        rendered.generation.push(rendered.text.len());
        rest = &rest[at + MARKS[0].len_utf8()..];
    }
    rendered.text.push_str(rest);
    rendered
}
