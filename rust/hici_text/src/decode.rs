// SPDX-License-Identifier: Apache-2.0
//! Decoding as ids arrive, never ending inside a character.

use crate::ffi::Result;
use crate::tokenizer::Tokenizer;

/// A character takes at most four bytes. When this many ids in a row complete nothing, their bytes are not UTF-8 at all, and
/// waiting longer would hold back everything that follows.
const MAX_WAITING: usize = 4;

pub struct DecodeStream {
    tokenizer: Tokenizer,
    skip_special_tokens: bool,
    /// Ids whose text is out already but which the decoder needs to see (it may drop a space at the very start), then
    /// those whose text is not, or not all of it.
    ids: Vec<u32>,
    num_context: usize,
    /// Bytes of the latter's text that are out already.
    told: usize,
    waiting: usize,
}

impl DecodeStream {
    pub fn new(tokenizer: &Tokenizer, skip_special_tokens: bool) -> DecodeStream {
        DecodeStream { tokenizer: tokenizer.clone(), skip_special_tokens, ids: Vec::new(), num_context: 0, told: 0, waiting: 0 }
    }

    pub fn push(&mut self, id: u32) -> Result<String> {
        self.ids.push(id);
        let text = self.pending_text()?;
        // An incomplete character at the end is decoded as U+FFFD, and what stands before it does not change any more.
        let mut certain = text.trim_end_matches('\u{FFFD}');
        self.waiting = if certain.len() > self.told || certain.len() == text.len() { 0 } else { self.waiting + 1 };
        if self.waiting >= MAX_WAITING {
            certain = &text;
        }
        let new = certain.get(self.told..).unwrap_or_default().to_string();
        self.told = self.told.max(certain.len());
        if certain.len() == text.len() {
            self.make_context(!text.is_empty());
        }
        Ok(new)
    }

    pub fn finish(&mut self) -> Result<String> {
        let rest = self.pending_text()?.get(self.told..).unwrap_or_default().to_string();
        self.ids.clear();
        (self.num_context, self.told, self.waiting) = (0, 0, 0);
        Ok(rest)
    }

    /// The ids told so far become the context of the next ones; ids without text (skipped special tokens) cannot serve.
    fn make_context(&mut self, has_text: bool) {
        if has_text {
            self.ids.drain(..self.num_context);
            self.num_context = self.ids.len();
        } else {
            self.ids.truncate(self.num_context);
        }
        (self.told, self.waiting) = (0, 0);
    }

    fn pending_text(&self) -> Result<String> {
        let decode = |ids: &[u32]| self.tokenizer.decode(ids, self.skip_special_tokens);
        let context = if self.num_context == 0 { String::new() } else { decode(&self.ids[..self.num_context])? };
        let whole = decode(&self.ids)?;
        Ok(whole[common_prefix(&context, &whole)..].to_string())
    }
}

/// Bytes at the start that two texts share, whole characters only.
fn common_prefix(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(x, y)| x == y).map(|(x, _)| x.len_utf8()).sum()
}
