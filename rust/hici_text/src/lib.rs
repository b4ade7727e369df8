// SPDX-License-Identifier: Apache-2.0
//! The C interface of include/hici_text.h, which documents every function. This file only translates: pointers to
//! slices, results to return values, panics to errors. The work is in the modules.

mod answers;
mod bounds;
mod chat_template;
mod chinese;
mod decode;
mod ffi;
mod http;
mod kept;
mod long_text;
mod python_json;
mod tokenizer;
mod tokenizer_parts;
mod train;
mod words;

use chat_template::ChatTemplate;
use ffi::{guard, Bytes, Ids, Spans, View};
use std::ffi::c_char;
use std::time::Duration;
use tokenizer::Tokenizer;

// ---- memory handed out -----------------------------------------------------------------------------------------

#[no_mangle]
pub extern "C" fn hici_text_release_memory() {
    bounds::release_memory();
}

/// # Safety
/// `text` is NULL or a string that this library stored in an `error` parameter.
#[no_mangle]
pub unsafe extern "C" fn hici_text_free_string(text: *mut c_char) {
    ffi::free_string(text);
}

/// # Safety
/// `ids` is NULL or was filled in by this library.
#[no_mangle]
pub unsafe extern "C" fn hici_text_free_ids(ids: *mut Ids) {
    if let Some(ids) = ids.as_mut() {
        ids.free();
    }
}

/// # Safety
/// `bytes` is NULL or was filled in by this library.
#[no_mangle]
pub unsafe extern "C" fn hici_text_free_bytes(bytes: *mut Bytes) {
    if let Some(bytes) = bytes.as_mut() {
        bytes.free();
    }
}

/// # Safety
/// `spans` is NULL or was filled in by this library.
#[no_mangle]
pub unsafe extern "C" fn hici_text_free_spans(spans: *mut Spans) {
    if let Some(spans) = spans.as_mut() {
        spans.free();
    }
}

// ---- bounds ----------------------------------------------------------------------------------------------------

#[no_mangle]
pub extern "C" fn hici_text_set_cpu_bound(millis: u64) {
    bounds::set_cpu_bound(millis);
}

// ---- tokenizer -------------------------------------------------------------------------------------------------

/// # Safety
/// `json` and `more_tokens` are valid views; `changed` is writable, `error` is NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn hici_tokenizer_new(
    json: View,
    more_tokens: View,
    num_threads: usize,
    changed: *mut bool,
    error: *mut *mut c_char,
) -> *mut Tokenizer {
    guard(error, std::ptr::null_mut(), || {
        let (tokenizer, is_changed) = Tokenizer::from_json(json.bytes()?, more_tokens.bytes()?, num_threads)?;
        *ffi::out(changed)? = is_changed;
        Ok(Box::into_raw(Box::new(tokenizer)))
    })
}

/// # Safety
/// `tokenizer` is NULL or came from hici_tokenizer_new and is not used afterwards.
#[no_mangle]
pub unsafe extern "C" fn hici_tokenizer_free(tokenizer: *mut Tokenizer) {
    ffi::free_box(tokenizer);
}

/// # Safety
/// `tokenizer` is NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn hici_tokenizer_vocab_size(tokenizer: *const Tokenizer) -> usize {
    guard(std::ptr::null_mut(), 0, || Ok(ffi::object(tokenizer)?.vocab_size()))
}

/// # Safety
/// `tokenizer` is NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn hici_tokenizer_largest_id(tokenizer: *const Tokenizer) -> u32 {
    guard(std::ptr::null_mut(), 0, || Ok(ffi::object(tokenizer)?.largest_id()))
}

/// # Safety
/// `tokenizer` is NULL or valid, `token` a valid view, `id` writable.
#[no_mangle]
pub unsafe extern "C" fn hici_tokenizer_token_to_id(tokenizer: *const Tokenizer, token: View, id: *mut u32) -> bool {
    guard(std::ptr::null_mut(), false, || {
        let found = ffi::object(tokenizer)?.token_to_id(token.text()?);
        *ffi::out(id)? = found.unwrap_or(0);
        Ok(found.is_some())
    })
}

/// # Safety
/// `tokenizer` is NULL or valid, `token` writable.
#[no_mangle]
pub unsafe extern "C" fn hici_tokenizer_id_to_token(tokenizer: *const Tokenizer, id: u32, token: *mut Bytes) -> bool {
    guard(std::ptr::null_mut(), false, || {
        let found = ffi::object(tokenizer)?.id_to_token(id);
        let known = found.is_some();
        *ffi::out(token)? = Bytes::from(found.unwrap_or_default());
        Ok(known)
    })
}

/// # Safety
/// `tokenizer` is NULL or valid, `json` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn hici_tokenizer_to_json(tokenizer: *const Tokenizer, json: *mut Bytes, error: *mut *mut c_char) -> bool {
    guard(error, false, || {
        *ffi::out(json)? = Bytes::from(ffi::object(tokenizer)?.to_json()?);
        Ok(true)
    })
}

/// # Safety
/// `tokenizer` is NULL or valid, `texts` points to `num_texts` valid views, `ids` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn hici_tokenizer_encode_batch(
    tokenizer: *const Tokenizer,
    texts: *const View,
    num_texts: usize,
    add_special_tokens: bool,
    ids: *mut Ids,
    error: *mut *mut c_char,
) -> bool {
    guard(error, false, || {
        let texts = ffi::texts(texts, num_texts)?;
        *ffi::out(ids)? = Ids::from(ffi::object(tokenizer)?.encode_batch(&texts, add_special_tokens)?);
        Ok(true)
    })
}

/// # Safety
/// `tokenizer` is NULL or valid, `text` a valid view, the other pointers are writable.
#[no_mangle]
pub unsafe extern "C" fn hici_tokenizer_encode_with_offsets(
    tokenizer: *const Tokenizer,
    text: View,
    ids: *mut Ids,
    offsets: *mut Spans,
    error: *mut *mut c_char,
) -> bool {
    guard(error, false, || {
        let encoding = ffi::object(tokenizer)?.encode_with_offsets(text.text()?)?;
        *ffi::out(ids)? = Ids::from(vec![encoding.get_ids().to_vec()]);
        *ffi::out(offsets)? = Spans::from(encoding.get_offsets().iter().flat_map(|(start, end)| [*start, *end]).collect::<Vec<_>>());
        Ok(true)
    })
}

/// # Safety
/// `tokenizer` is NULL or valid, `ids` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn hici_tokenizer_special_ids(tokenizer: *const Tokenizer, ids: *mut Ids, error: *mut *mut c_char) -> bool {
    guard(error, false, || {
        let (before, after) = ffi::object(tokenizer)?.special_ids();
        *ffi::out(ids)? = Ids::from(vec![before.to_vec(), after.to_vec()]);
        Ok(true)
    })
}

/// # Safety
/// `tokenizer` is NULL or valid, `text` a valid view, the other pointers are writable.
#[no_mangle]
pub unsafe extern "C" fn hici_tokenizer_encode_part(
    tokenizer: *const Tokenizer,
    text: View,
    start: usize,
    is_last: bool,
    ids: *mut Ids,
    keep_from: *mut usize,
    next_start: *mut usize,
    error: *mut *mut c_char,
) -> bool {
    guard(error, false, || {
        let part = long_text::encode_part(ffi::object(tokenizer)?, text.text()?, start, is_last)?;
        *ffi::out(keep_from)? = part.keep_from;
        *ffi::out(next_start)? = part.next_start;
        *ffi::out(ids)? = Ids::from(vec![part.ids]);
        Ok(true)
    })
}

/// # Safety
/// `tokenizer` is NULL or valid, `ids` points to `num_ids` ids, `text` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn hici_tokenizer_decode(
    tokenizer: *const Tokenizer,
    ids: *const u32,
    num_ids: usize,
    skip_special_tokens: bool,
    text: *mut Bytes,
    error: *mut *mut c_char,
) -> bool {
    guard(error, false, || {
        let decoded = ffi::object(tokenizer)?.decode(ffi::slice(ids, num_ids)?, skip_special_tokens)?;
        *ffi::out(text)? = Bytes::from(decoded);
        Ok(true)
    })
}

// ---- streaming decode ------------------------------------------------------------------------------------------

/// # Safety
/// `tokenizer` is NULL or valid; `error` is NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn hici_decode_stream_new(
    tokenizer: *const Tokenizer,
    skip_special_tokens: bool,
    error: *mut *mut c_char,
) -> *mut decode::DecodeStream {
    guard(error, std::ptr::null_mut(), || {
        let stream = decode::DecodeStream::new(ffi::object(tokenizer)?, skip_special_tokens);
        Ok(Box::into_raw(Box::new(stream)))
    })
}

/// # Safety
/// `stream` is NULL or came from hici_decode_stream_new and is not used afterwards.
#[no_mangle]
pub unsafe extern "C" fn hici_decode_stream_free(stream: *mut decode::DecodeStream) {
    ffi::free_box(stream);
}

/// # Safety
/// `stream` is NULL or valid and used by one thread; `text` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn hici_decode_stream_push(
    stream: *mut decode::DecodeStream,
    id: u32,
    text: *mut Bytes,
    error: *mut *mut c_char,
) -> bool {
    guard(error, false, || {
        *ffi::out(text)? = Bytes::from(ffi::object_mut(stream)?.push(id)?);
        Ok(true)
    })
}

/// # Safety
/// `stream` is NULL or valid and used by one thread; `text` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn hici_decode_stream_finish(stream: *mut decode::DecodeStream, text: *mut Bytes, error: *mut *mut c_char) -> bool {
    guard(error, false, || {
        *ffi::out(text)? = Bytes::from(ffi::object_mut(stream)?.finish()?);
        Ok(true)
    })
}

// ---- training --------------------------------------------------------------------------------------------------

/// # Safety
/// `options` is NULL or valid with all its views; `error` is NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn hici_bpe_trainer_new(options: *const ffi::BpeOptions, error: *mut *mut c_char) -> *mut train::BpeTraining {
    guard(error, std::ptr::null_mut(), || {
        let training = train::BpeTraining::new(ffi::object(options)?.to_options()?)?;
        Ok(Box::into_raw(Box::new(training)))
    })
}

/// # Safety
/// `trainer` is NULL or came from hici_bpe_trainer_new and is not used afterwards.
#[no_mangle]
pub unsafe extern "C" fn hici_bpe_trainer_free(trainer: *mut train::BpeTraining) {
    ffi::free_box(trainer);
}

/// # Safety
/// `trainer` is NULL or valid and used by one thread, `texts` points to `num_texts` valid views, `error` is writable.
#[no_mangle]
pub unsafe extern "C" fn hici_bpe_trainer_feed(
    trainer: *mut train::BpeTraining,
    texts: *const View,
    num_texts: usize,
    error: *mut *mut c_char,
) -> bool {
    guard(error, false, || {
        ffi::object_mut(trainer)?.feed(&ffi::texts(texts, num_texts)?)?;
        Ok(true)
    })
}

/// # Safety
/// `trainer` is NULL or valid and used by one thread, `json` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn hici_bpe_trainer_finish(trainer: *mut train::BpeTraining, json: *mut Bytes, error: *mut *mut c_char) -> bool {
    guard(error, false, || {
        *ffi::out(json)? = Bytes::from(ffi::object_mut(trainer)?.finish()?);
        Ok(true)
    })
}

// ---- answers ---------------------------------------------------------------------------------------------------

unsafe fn rewrite(text: View, out: *mut Bytes, error: *mut *mut c_char, rule: fn(&str) -> String) -> bool {
    guard(error, false, || {
        *ffi::out(out)? = Bytes::from(rule(text.text()?));
        Ok(true)
    })
}

/// # Safety
/// `text` is a valid view, `words` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn hici_text_english_words(text: View, words: *mut Bytes, error: *mut *mut c_char) -> bool {
    rewrite(text, words, error, answers::english_words)
}

/// # Safety
/// As for hici_text_english_words.
#[no_mangle]
pub unsafe extern "C" fn hici_text_chinese_words(text: View, words: *mut Bytes, error: *mut *mut c_char) -> bool {
    rewrite(text, words, error, answers::chinese_words)
}

/// # Safety
/// As for hici_text_english_words.
#[no_mangle]
pub unsafe extern "C" fn hici_text_segment(text: View, words: *mut Bytes, error: *mut *mut c_char) -> bool {
    rewrite(text, words, error, answers::segmented)
}

/// # Safety
/// As for hici_text_english_words.
#[no_mangle]
pub unsafe extern "C" fn hici_text_numbers(text: View, numbers: *mut Bytes, error: *mut *mut c_char) -> bool {
    rewrite(text, numbers, error, answers::numbers)
}

/// # Safety
/// `a` and `b` are valid views, the other pointers are writable.
#[no_mangle]
pub unsafe extern "C" fn hici_text_edit_distance(
    a: View,
    b: View,
    distance: *mut usize,
    num_characters: *mut usize,
    error: *mut *mut c_char,
) -> bool {
    guard(error, false, || {
        let (edits, characters) = answers::edit_distance(a.text()?, b.text()?);
        *ffi::out(distance)? = edits;
        *ffi::out(num_characters)? = characters;
        Ok(true)
    })
}

// ---- HTTP ------------------------------------------------------------------------------------------------------

/// # Safety
/// The views are valid, the other pointers are writable.
#[no_mangle]
pub unsafe extern "C" fn hici_http_post_json(
    url: View,
    bearer: View,
    body: View,
    timeout_ms: u64,
    status: *mut u32,
    retry_after: *mut f64,
    answer: *mut Bytes,
    error: *mut *mut c_char,
) -> bool {
    guard(error, false, || {
        let timeout = Duration::from_millis(timeout_ms);
        let received = http::post_json(url.text()?, bearer.text()?, body.text()?, timeout)?;
        *ffi::out(status)? = u32::from(received.status);
        *ffi::out(retry_after)? = received.retry_after.unwrap_or(-1.0);
        *ffi::out(answer)? = Bytes::from(received.body);
        Ok(true)
    })
}

// ---- chat templates --------------------------------------------------------------------------------------------

/// # Safety
/// `source` is a valid view; `error` is NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn hici_chat_template_new(source: View, error: *mut *mut c_char) -> *mut ChatTemplate {
    guard(error, std::ptr::null_mut(), || Ok(Box::into_raw(Box::new(ChatTemplate::new(source.text()?)?))))
}

/// # Safety
/// `template` is NULL or came from hici_chat_template_new and is not used afterwards.
#[no_mangle]
pub unsafe extern "C" fn hici_chat_template_free(template: *mut ChatTemplate) {
    ffi::free_box(template);
}

/// # Safety
/// `template` is NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn hici_chat_template_marks_generation(template: *const ChatTemplate) -> bool {
    guard(std::ptr::null_mut(), false, || Ok(ffi::object(template)?.marks_generation()))
}

/// # Safety
/// `template` is NULL or valid, `variables` a valid view, the other pointers are writable.
#[no_mangle]
pub unsafe extern "C" fn hici_chat_template_render(
    template: *const ChatTemplate,
    variables: View,
    text: *mut Bytes,
    generation: *mut Spans,
    error: *mut *mut c_char,
) -> bool {
    guard(error, false, || {
        let rendered = ffi::object(template)?.render(variables.text()?)?;
        *ffi::out(text)? = Bytes::from(rendered.text);
        *ffi::out(generation)? = Spans::from(rendered.generation);
        Ok(true)
    })
}
