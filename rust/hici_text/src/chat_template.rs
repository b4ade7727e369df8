// SPDX-License-Identifier: Apache-2.0
//! Chat templates: Jinja as transformers' apply_chat_template sets it up.
//!
//! A template is a program out of a foreign file. The engine counts what it does in units of fuel: an instruction, or 64
//! bytes of text. What the engine does not count (an item of a list that is a list of lists of lists) meets the bounds
//! of the thread that renders. Values that hold themselves cannot be made (kept.rs).

use crate::bounds::{self, Bounds};
use crate::ffi::Result;
use crate::kept;
use crate::python_json::{self, Layout};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use serde_json::{Map, Value as Json};
use std::fmt::Write;
use std::time::Duration;

const NAME: &str = "chat template";
const GENERATION: &str = "hici_generation";
/// Around what a `{% generation %}` block wrote: noncharacters of Unicode, which no text holds (render() checks it).
const MARKS: [char; 2] = ['\u{FDD0}', '\u{FDD1}'];
/// The way out where a bound is met.
const TAKE_ANOTHER: &str = "take the template that the model came with";
/// Names of a message's reasoning; transformers gives it to the template under the first two.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// What any template may do, and what more for each message and each byte of the variables: far above what those of
/// models need (some hundred steps a message, some passes over its text; a look from each message at all others).
const BASE_FUEL: u64 = 4_000_000;
const FUEL_FOR_EACH_MESSAGE: u64 = 10_000;
const FUEL_FOR_EACH_BYTE: u64 = 4;
/// Of the text that comes out.
const BASE_OUTPUT: usize = 16 << 20;
const OUTPUT_FOR_EACH_BYTE: usize = 16;
const RENDERING: Bounds = Bounds { bytes: 256 << 20, cpu: Duration::from_secs(5) };
const RENDERING_BYTES_FOR_EACH: usize = 1024;
const RENDERING_TIME_FOR_EACH: Duration = Duration::from_micros(10);
/// A list in a list in a list costs ten units of fuel a level, and as many frames of the stack when it is written or freed.
/// Only what is touched of a stack takes memory.
const BASE_STACK: usize = 64 << 20;
const STACK_FOR_EACH_FUEL: usize = 80;
/// A sum of a million parts is parsed in a loop but compiled in as many frames.
const STACK_FOR_EACH_SOURCE_BYTE: usize = 1024;
/// Of a template. Those of models have up to some ten thousand.
const MAX_SOURCE_BYTES: usize = 1 << 20;

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
        if source.len() > MAX_SOURCE_BYTES {
            return Err(format!("has {} bytes, more than {MAX_SOURCE_BYTES}; {TAKE_ANOTHER}", source.len()));
        }
        let rewritten = generation_as_call(source);
        let marks_generation = rewritten != source;
        let stack = BASE_STACK + STACK_FOR_EACH_SOURCE_BYTE * source.len();
        let environment = bounds::run_apart(RENDERING, stack, move || compiled(rewritten)).map_err(|e| e.told(TAKE_ANOTHER))?;
        Ok(ChatTemplate { environment, marks_generation })
    }

    pub fn marks_generation(&self) -> bool {
        self.marks_generation
    }

    /// `variables` is a JSON object: all that the template sees.
    pub fn render(&self, variables: &str) -> Result<Rendered> {
        let num_bytes = variables.len();
        let mut variables: Map<String, Json> = serde_json::from_str(variables).map_err(|e| format!("the variables are no JSON object: {e}"))?;
        if let Some(Json::Array(messages)) = variables.get_mut("messages") {
            messages.iter_mut().for_each(alias_reasoning);
        }
        if self.marks_generation && variables.values().any(holds_mark) {
            return Err("the messages hold the characters U+FDD0 or U+FDD1, which mark what an assistant writes".to_string());
        }
        let num_messages = variables.get("messages").and_then(Json::as_array).map_or(0, Vec::len);
        let fuel = BASE_FUEL + FUEL_FOR_EACH_MESSAGE * num_messages as u64 + FUEL_FOR_EACH_BYTE * num_bytes as u64;
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        let max_output = BASE_OUTPUT + OUTPUT_FOR_EACH_BYTE * num_bytes;
        let bounds = Bounds::relative(RENDERING, num_bytes, RENDERING_BYTES_FOR_EACH, RENDERING_TIME_FOR_EACH);
        let stack = BASE_STACK + STACK_FOR_EACH_FUEL * fuel as usize;
        let render = move || rendered(environment, variables, fuel, max_output);
        let text = bounds::run_apart(bounds, stack, render).map_err(|e| e.told(TAKE_ANOTHER))?;
        Ok(if self.marks_generation { take_marks_out(&text) } else { Rendered { text, generation: Vec::new() } })
    }
}

fn compiled(source: String) -> Result<Environment<'static>> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(|e| one_line(&e))?;
    environment.set_syntax(syntax.clone());
    environment.set_unknown_method_callback(python_method);
    environment.add_filter("tojson", to_json);
    environment.add_filter(kept::FILTER, kept::kept);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_function(GENERATION, generation);
    environment.add_test("sequence", |v: &Value| v.is_undefined() || has_length(v));
    environment.add_test("iterable", |v: &Value| v.is_undefined() || has_length(v) || (!v.is_none() && v.try_iter().is_ok()));
    environment.add_template_owned(NAME, kept::with_guards(&source, syntax)).map_err(|e| one_line(&e))?;
    Ok(environment)
}

fn rendered(environment: Environment<'static>, variables: Map<String, Json>, fuel: u64, max_output: usize) -> Result<String> {
    let template = environment.get_template(NAME).map_err(|e| one_line(&e))?;
    let mut output = BoundedText { bytes: Vec::new(), limit: max_output, is_full: false };
    let done = template.render_captured_to(Value::from(Serde(&variables)), &mut output).map(drop);
    match done {
        _ if output.is_full => Err(format!("writes more than {max_output} bytes for these messages; {TAKE_ANOTHER}")),
        Err(e) if is_out_of_fuel(&e) => Err(format!("takes more than {fuel} steps for these messages; {TAKE_ANOTHER}")),
        Err(e) => Err(one_line(&e)),
        Ok(()) => String::from_utf8(output.bytes).map_err(|_| "writes what is no UTF-8".to_string()),
    }
}

fn is_out_of_fuel(error: &Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(at) = cause {
        if at.downcast_ref::<Error>().is_some_and(|e| e.kind() == ErrorKind::OutOfFuel) {
            return true;
        }
        cause = at.source();
    }
    false
}

/// Text up to a limit; what would go beyond is an error and is not kept.
struct BoundedText {
    bytes: Vec<u8>,
    limit: usize,
    is_full: bool,
}

impl BoundedText {
    fn has_room_for(&mut self, num_bytes: usize) -> bool {
        self.is_full |= num_bytes > self.limit - self.bytes.len();
        !self.is_full
    }
}

impl std::io::Write for BoundedText {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if !self.has_room_for(bytes.len()) {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Write for BoundedText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if !self.has_room_for(text.len()) {
            return Err(std::fmt::Error);
        }
        self.bytes.extend_from_slice(text.as_bytes());
        Ok(())
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
    const MAX_BYTES: usize = 4096;
    let mut text = BoundedText { bytes: Vec::new(), limit: MAX_BYTES, is_full: false };
    let _ = write!(text, "{message}"); // what does not fit is left out
    let message = String::from_utf8_lossy(&text.bytes).into_owned();
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

fn to_json(state: &State, value: &Value, indent: Option<Value>, options: Kwargs) -> std::result::Result<String, Error> {
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
    python_json::dump(state, value, &layout)
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
/// whitespace control and their scope. The engine hands a block the variables that it reads; a namespace that it only
/// sets a value of is read in front for that.
fn generation_as_call(source: &str) -> String {
    let reads: String = namespaces_set_in(source).iter().map(|name| format!("{{% if {name} %}}{{% endif ")).collect::<Vec<_>>().join("%}");
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
        if name == "generation" && !reads.is_empty() {
            out.push_str(&reads);
            out.push_str(if inside.ends_with('-') { "-%}" } else if inside.ends_with('+') { "+%}" } else { "%}" });
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// X of every `{% set X.attribute = ... %}`.
fn namespaces_set_in(source: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for tag in source.split("{%").skip(1) {
        let Some(target) = tag.trim_start_matches(['-', '+']).trim_start().strip_prefix("set ") else { continue };
        let Some((name, _)) = target.trim_start().split_once('.') else { continue };
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if is_name && !names.iter().any(|known| known == name) {
            names.push(name.to_string());
        }
    }
    names
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
