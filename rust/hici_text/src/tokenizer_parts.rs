// SPDX-License-Identifier: Apache-2.0
//! A tokenizer.json by its parts: how many there may be, and which of them cannot be read.
//!
//! The library takes as many as there are, some of them in a time that grows with their square; and it speaks of its own
//! types when it refuses one.

use crate::ffi::Result;
use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::Deserializer;
use serde_json::error::Category;
use serde_json::Value as Json;
use std::collections::{HashMap, HashSet};
use std::panic::{catch_unwind, AssertUnwindSafe};
use tokenizers::utils::SysRegex;

/// Objects, lists, texts and numbers in one of the sections that steps are listed in. Those of models have up to some hundred.
const MAX_VALUES: usize = 10_000;
/// Models with images and sound have some hundred thousand.
const MAX_ADDED_TOKENS: usize = 500_000;
const STEPS: [&str; 4] = ["normalizer", "pre_tokenizer", "post_processor", "decoder"];
const ADDED_TOKENS: &str = "added_tokens";

// ---- how many --------------------------------------------------------------------------------------------------

/// An error in plain words for what is no JSON object, and for sections with more in them than any tokenizer needs.
pub fn check(json: &[u8]) -> Result<()> {
    let mut sections = Sections { too_large: None };
    let mut reader = serde_json::Deserializer::from_slice(json);
    let read = reader.deserialize_map(&mut sections).and_then(|()| reader.end());
    match (sections.too_large, read) {
        (Some(message), _) => Err(message),
        (None, Err(error)) => Err(no_json(&error)),
        (None, Ok(())) => Ok(()),
    }
}

fn no_json(error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Data => "it is no JSON object".to_string(),
        Category::Eof => format!("it ends at {place}, in the middle of its JSON"),
        _ if error.to_string().starts_with("recursion limit") => format!("it is nested too deep at {place}"),
        _ => format!("it is no JSON at {place}"),
    }
}

struct Sections {
    too_large: Option<String>,
}

impl<'de> Visitor<'de> for &mut Sections {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let mut count = Count::default();
            if !STEPS.contains(&name.as_str()) && name != ADDED_TOKENS {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            map.next_value_seed(&mut count)?;
            let (number, most, what) = match name.as_str() {
                ADDED_TOKENS => (count.in_list, MAX_ADDED_TOKENS, "tokens"),
                _ => (count.values, MAX_VALUES, "values"),
            };
            if number > most && self.too_large.is_none() {
                self.too_large = Some(format!("its '{name}' holds {number} {what}, more than {most}"));
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Count {
    values: usize,
    /// Items of the value itself, when that is a list.
    in_list: usize,
}

impl<'de> DeserializeSeed<'de> for &mut Count {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        self.values += 1;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Count {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> std::result::Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> std::result::Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> std::result::Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> std::result::Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> std::result::Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<(), A::Error> {
        let mut in_list = 0;
        while items.next_element_seed(&mut *self)?.is_some() {
            in_list += 1;
        }
        self.in_list = in_list; // the outermost list is the last one to end
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(&mut *self)?;
        }
        Ok(())
    }
}

// ---- which one cannot be read ----------------------------------------------------------------------------------

/// The library's `tokenizers::Tokenizer`, or the part of the file that it refuses.
pub fn parsed(json: &[u8]) -> Result<tokenizers::Tokenizer> {
    check(json)?;
    match catch_unwind(AssertUnwindSafe(|| tokenizers::Tokenizer::from_bytes(json))) {
        Ok(Ok(tokenizer)) => Ok(tokenizer),
        _ => Err(serde_json::from_slice(json).map_or_else(|error| no_json(&error), |root| refused_part(&root))),
    }
}

/// Tokens that files beside the tokenizer.json name (include/hici_text.h). Says whether the tokenizer is another one now.
pub fn add_tokens(tokenizer: &mut tokenizers::Tokenizer, more_tokens: &[u8]) -> Result<bool> {
    if more_tokens.is_empty() {
        return Ok(false);
    }
    let mut more: HashMap<String, Vec<tokenizers::AddedToken>> =
        serde_json::from_slice(more_tokens).map_err(|error| format!("more tokens: {error}"))?;
    let before = tokenizer.get_added_tokens_decoder();
    let add = |tokenizer: &mut tokenizers::Tokenizer, tokens: Vec<tokenizers::AddedToken>| {
        tokenizer.add_tokens(tokens).map_err(|error| format!("more tokens: {error}"))
    };
    add(tokenizer, more.remove("added_tokens").unwrap_or_default())?;
    let known: HashSet<String> = tokenizer.get_added_tokens_decoder().into_values().map(|token| token.content).collect();
    let named = more.remove("named_tokens").unwrap_or_default();
    add(tokenizer, named.into_iter().filter(|token| !known.contains(&token.content)).collect())?;
    Ok(tokenizer.get_added_tokens_decoder() != before)
}

fn refused_part(root: &Json) -> String {
    refused_version(&root["version"])
        .or_else(|| refused::<tokenizers::TruncationParams>("truncation", &root["truncation"], ""))
        .or_else(|| refused::<tokenizers::PaddingParams>("padding", &root["padding"], ""))
        .or_else(|| refused_token(&root[ADDED_TOKENS]))
        .or_else(|| refused::<tokenizers::NormalizerWrapper>("normalizer", &root["normalizer"], "normalizers"))
        .or_else(|| refused::<tokenizers::PreTokenizerWrapper>("pre_tokenizer", &root["pre_tokenizer"], "pretokenizers"))
        .or_else(|| refused::<tokenizers::PostProcessorWrapper>("post_processor", &root["post_processor"], "processors"))
        .or_else(|| refused::<tokenizers::DecoderWrapper>("decoder", &root["decoder"], "decoders"))
        .or_else(|| refused_model(&root["model"]))
        .unwrap_or_else(|| "its parts do not fit together".to_string())
}

/// What the library says of one part: None when it takes it. It may break down too.
fn complaint<T: DeserializeOwned>(value: &Json) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| serde_json::from_value::<T>(value.clone()).map(drop))) {
        Ok(read) => read.err().map(|error| error.to_string()),
        Err(_) => Some(String::new()),
    }
}

/// None when it can be read. A part may be a list of such parts under the name `steps`: then the first one that cannot.
fn refused<T: DeserializeOwned>(path: &str, value: &Json, steps: &str) -> Option<String> {
    if value.is_null() || complaint::<T>(value).is_none() {
        return None;
    }
    for (i, step) in value[steps].as_array().into_iter().flatten().enumerate() {
        if let Some(found) = refused::<T>(&format!("{path}.{steps}[{i}]"), step, steps) {
            return Some(found);
        }
    }
    let pattern = value["pattern"]["Regex"].as_str();
    Some(match (value["type"].as_str(), pattern) {
        (_, Some(regex)) if SysRegex::new(regex).is_err() => format!("its '{path}' has a regular expression that cannot be read: '{}'", shortened(regex)),
        (Some(name), _) => format!("its '{path}' cannot be read: there is no such type as '{}', or what it needs is not there", shortened(name)),
        (None, _) => format!("its '{path}' cannot be read: it names no type"),
    })
}

fn refused_version(value: &Json) -> Option<String> {
    let is_known = value.is_null() || value == "1.0";
    (!is_known).then(|| format!("its 'version' is {}, expected \"1.0\"", shortened(&value.to_string())))
}

fn refused_token(list: &Json) -> Option<String> {
    if list.is_null() {
        return None;
    }
    let Some(tokens) = list.as_array() else { return Some(format!("its '{ADDED_TOKENS}' is no list")) };
    let is_whole = |token: &Json| token["content"].is_string() && token["id"].as_u64().is_some_and(|id| u32::try_from(id).is_ok());
    let flags = ["single_word", "lstrip", "rstrip", "normalized", "special"];
    let is_refused = |token: &Json| !is_whole(token) || flags.iter().any(|flag| !token[flag].is_boolean());
    let at = tokens.iter().position(is_refused)?;
    Some(format!("its '{ADDED_TOKENS}[{at}]' cannot be read: a token has 'content', 'id', and five that are true or false: {}", flags.join(", ")))
}

fn refused_model(model: &Json) -> Option<String> {
    if model.is_null() {
        return Some("it has no 'model'".to_string());
    }
    let said = complaint::<tokenizers::ModelWrapper>(model)?;
    let missing = said.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let why = match (missing, model["type"].as_str()) {
        (Some(name), _) => format!("it has no '{name}'"),
        _ if said.contains("out of vocabulary") => "one of its 'merges' names a token that is not in 'vocab'".to_string(),
        (None, Some("BPE" | "WordPiece" | "WordLevel" | "Unigram")) => "what it needs is not there, or not of the form that its type has".to_string(),
        (None, Some(name)) => format!("there is no such type as '{}'", shortened(name)),
        (None, None) => "it names no type".to_string(),
    };
    Some(format!("its 'model' cannot be read: {why}"))
}

/// As much of a foreign text as a line has room for.
fn shortened(text: &str) -> String {
    const MAX_CHARACTERS: usize = 60;
    match text.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}
