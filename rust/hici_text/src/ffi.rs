// SPDX-License-Identifier: Apache-2.0
//! What crosses the C boundary: views in, owned memory out, and the guard that turns every failure into text.

use crate::train;
use std::ffi::{c_char, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Once;

pub type Result<T> = std::result::Result<T, String>;

/// HiciTextView.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct View {
    data: *const c_char,
    size: usize,
}

impl View {
    /// # Safety
    /// `data` points to `size` readable bytes, or `size` is 0.
    pub unsafe fn bytes<'a>(self) -> Result<&'a [u8]> {
        slice(self.data.cast(), self.size)
    }

    /// # Safety
    /// As for `bytes`.
    pub unsafe fn text<'a>(self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|e| format!("byte {} is not UTF-8", e.valid_up_to()))
    }
}

/// HiciTextIds.
#[repr(C)]
pub struct Ids {
    ids: *mut u32,
    num_ids: usize,
    ends: *mut usize,
    num_texts: usize,
}

impl From<Vec<Vec<u32>>> for Ids {
    fn from(texts: Vec<Vec<u32>>) -> Ids {
        let mut ids = Vec::with_capacity(texts.iter().map(Vec::len).sum());
        let mut ends = Vec::with_capacity(texts.len());
        for text in texts {
            ids.extend_from_slice(&text);
            ends.push(ids.len());
        }
        let (num_ids, num_texts) = (ids.len(), ends.len());
        Ids { ids: into_pointer(ids), num_ids, ends: into_pointer(ends), num_texts }
    }
}

impl Ids {
    /// # Safety
    /// The fields are as `from` made them.
    pub unsafe fn free(&mut self) {
        free_pointer(self.ids, self.num_ids);
        free_pointer(self.ends, self.num_texts);
        *self = Ids { ids: std::ptr::null_mut(), num_ids: 0, ends: std::ptr::null_mut(), num_texts: 0 };
    }
}

/// HiciTextSpans.
#[repr(C)]
pub struct Spans {
    bounds: *mut usize,
    num_bounds: usize,
}

impl From<Vec<usize>> for Spans {
    fn from(bounds: Vec<usize>) -> Spans {
        let num_bounds = bounds.len();
        Spans { bounds: into_pointer(bounds), num_bounds }
    }
}

impl Spans {
    /// # Safety
    /// The fields are as `from` made them.
    pub unsafe fn free(&mut self) {
        free_pointer(self.bounds, self.num_bounds);
        *self = Spans { bounds: std::ptr::null_mut(), num_bounds: 0 };
    }
}

/// HiciTextBytes.
#[repr(C)]
pub struct Bytes {
    data: *mut u8,
    size: usize,
}

impl From<String> for Bytes {
    fn from(text: String) -> Bytes {
        let size = text.len();
        Bytes { data: into_pointer(text.into_bytes()), size }
    }
}

impl Bytes {
    /// # Safety
    /// The fields are as `from` made them.
    pub unsafe fn free(&mut self) {
        free_pointer(self.data, self.size);
        *self = Bytes { data: std::ptr::null_mut(), size: 0 };
    }
}

/// HiciBpeOptions.
#[repr(C)]
pub struct BpeOptions {
    vocab_size: usize,
    min_frequency: u64,
    special: *const View,
    num_special: usize,
    bos: View,
    num_threads: usize,
}

impl BpeOptions {
    /// # Safety
    /// All views are valid.
    pub unsafe fn to_options(&self) -> Result<train::Options> {
        Ok(train::Options {
            vocab_size: self.vocab_size,
            min_frequency: self.min_frequency,
            special_tokens: texts(self.special, self.num_special)?.into_iter().map(String::from).collect(),
            bos: self.bos.text()?.to_string(),
            num_threads: self.num_threads,
        })
    }
}

fn into_pointer<T>(values: Vec<T>) -> *mut T {
    Box::into_raw(values.into_boxed_slice()).cast()
}

unsafe fn free_pointer<T>(data: *mut T, size: usize) {
    if !data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, size)));
    }
}

/// # Safety
/// `object` is NULL or came from Box::into_raw.
pub unsafe fn free_box<T>(object: *mut T) {
    if !object.is_null() {
        // A destructor that panics must not unwind into C either.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(object))));
    }
}

/// # Safety
/// `text` is NULL or came from `store_error`.
pub unsafe fn free_string(text: *mut c_char) {
    if !text.is_null() {
        drop(CString::from_raw(text));
    }
}

/// # Safety
/// `data` points to `size` readable values, or `size` is 0.
pub unsafe fn slice<'a, T>(data: *const T, size: usize) -> Result<&'a [T]> {
    match (data.is_null(), size) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(format!("NULL where {size} values were expected")),
        (false, _) if size > isize::MAX as usize / std::mem::size_of::<T>().max(1) => Err(format!("a size of {size} is not possible")),
        (false, _) => Ok(std::slice::from_raw_parts(data, size)),
    }
}

/// # Safety
/// `views` points to `count` valid views.
pub unsafe fn texts<'a>(views: *const View, count: usize) -> Result<Vec<&'a str>> {
    let one = |(i, view): (usize, &View)| view.text().map_err(|e| format!("text {i}: {e}"));
    slice(views, count)?.iter().enumerate().map(one).collect()
}

/// # Safety
/// `object` is NULL or valid.
pub unsafe fn object<'a, T>(object: *const T) -> Result<&'a T> {
    object.as_ref().ok_or_else(|| "NULL object".to_string())
}

/// # Safety
/// `object` is NULL or valid and not used elsewhere meanwhile.
pub unsafe fn object_mut<'a, T>(object: *mut T) -> Result<&'a mut T> {
    object.as_mut().ok_or_else(|| "NULL object".to_string())
}

/// # Safety
/// `pointer` is NULL or writable. What it holds is overwritten, not dropped: Ids, Bytes and numbers need no drop.
pub unsafe fn out<'a, T>(pointer: *mut T) -> Result<&'a mut T> {
    pointer.as_mut().ok_or_else(|| "NULL for a result".to_string())
}

/// Runs `work`; a failure or a panic becomes one line in *error and the value `failed`.
pub fn guard<T>(error: *mut *mut c_char, failed: T, work: impl FnOnce() -> Result<T>) -> T {
    silence_panics();
    let message = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => return value,
        Ok(Err(message)) => message,
        Err(payload) => panic_message(payload.as_ref()),
    };
    store_error(error, &message);
    failed
}

/// Characters of a message.
const MAX_MESSAGE: usize = 1000;

fn printable(c: char) -> char {
    match c {
        ' '..='~' => c,
        c if c.is_control() => ' ',
        _ => '?',
    }
}

fn store_error(error: *mut *mut c_char, message: &str) {
    if error.is_null() {
        return;
    }
    // What a library says may hold text of a foreign file: letters that steer a terminal or turn its line around.
    let line: String = message.chars().take(MAX_MESSAGE).map(printable).collect();
    let text = CString::new(line).unwrap_or_default();
    // Safety: the header asks for NULL or a writable pointer.
    unsafe { *error = text.into_raw() };
}

/// What a library that broke down says to a user, who has no use for its own words.
pub fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or_default();
    match text {
        regex if regex.contains("limit") && regex.starts_with("Onig") => "one of its regular expressions tries too many ways to match this text".into(),
        _ => "it is damaged, or asks for something that cannot be done".into(),
    }
}

/// The default hook prints a back trace to stderr although the panic is caught and reported as an error.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
}
