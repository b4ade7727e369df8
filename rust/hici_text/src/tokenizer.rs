// SPDX-License-Identifier: Apache-2.0
//! A tokenizer.json, ready to encode and decode, with its own threads.

use crate::ffi::Result;
use rayon::prelude::*;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use tokenizers::Encoding;

pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    special_before: Vec<u32>,
    special_after: Vec<u32>,
    num_threads: usize,
    pool: OnceLock<std::result::Result<rayon::ThreadPool, String>>,
    bigrams: OnceLock<HashSet<(char, char)>>,
}

impl Tokenizer {
    pub fn from_json(json: &[u8], num_threads: usize) -> Result<Tokenizer> {
        let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(|e| e.to_string())?;
        inner.with_truncation(None).map_err(|e| e.to_string())?;
        inner.with_padding(None);
        let (special_before, special_after) = probe_special_ids(&inner)?;
        // What is left of a post-processor once the special tokens are known only trims offsets; exact ones are needed.
        inner.with_post_processor(None::<tokenizers::PostProcessorWrapper>);
        Ok(Tokenizer {
            inner: Arc::new(inner),
            special_before,
            special_after,
            num_threads,
            pool: OnceLock::new(),
            bigrams: OnceLock::new(),
        })
    }

    pub fn shared(&self) -> Arc<tokenizers::Tokenizer> {
        self.inner.clone()
    }

    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    pub fn largest_id(&self) -> u32 {
        self.inner.get_vocab(true).into_values().max().unwrap_or(0)
    }

    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    pub fn special_ids(&self) -> (&[u32], &[u32]) {
        (&self.special_before, &self.special_after)
    }

    /// Runs `work` on this tokenizer's threads, which are started at the first call.
    pub fn on_threads<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let build = || rayon::ThreadPoolBuilder::new().num_threads(self.num_threads).build().map_err(|e| e.to_string());
        match self.pool.get_or_init(build) {
            Ok(pool) => Ok(pool.install(work)),
            Err(message) => Err(format!("cannot start threads: {message}")),
        }
    }

    pub fn encode_batch(&self, texts: &[&str], add_special_tokens: bool) -> Result<Vec<Vec<u32>>> {
        let encode = |text: &&str| {
            let ids = self.encode(text)?;
            if !add_special_tokens {
                return Ok(ids);
            }
            Ok([&self.special_before[..], &ids, &self.special_after].concat())
        };
        self.on_threads(|| texts.par_iter().map(encode).collect())?
    }

    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false).map_err(|e| e.to_string())?;
        Ok(encoding.get_ids().to_vec())
    }

    /// As `encode`, with the place and the word of every token.
    pub fn encode_with_offsets(&self, text: &str) -> Result<Encoding> {
        self.inner.encode(text, false).map_err(|e| e.to_string())
    }

    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        self.inner.decode(ids, skip_special_tokens).map_err(|e| e.to_string())
    }

    /// True when some token of the model holds the two characters side by side. A pair that none holds is never merged.
    pub fn has_bigram(&self, x: char, y: char) -> bool {
        let collect = || {
            let vocab = self.inner.get_vocab(false);
            let pairs = |token: &String| token.chars().zip(token.chars().skip(1)).collect::<Vec<_>>();
            vocab.keys().flat_map(pairs).collect()
        };
        self.bigrams.get_or_init(collect).contains(&(x, y))
    }

    /// False for tokens whose text is not the text they stand for: bytes such as `<0x0A>`, unknown and added tokens.
    pub fn is_plain_token(&self, token: &str) -> bool {
        token.chars().count() == 1 || !(token.starts_with('<') && token.ends_with('>'))
    }
}

/// The ids that the post-processor puts around a text: found by comparing encodings, and refused when what it does depends
/// on the text.
fn probe_special_ids(tokenizer: &tokenizers::Tokenizer) -> Result<(Vec<u32>, Vec<u32>)> {
    let ids = |text: &str, special: bool| -> Result<Vec<u32>> {
        Ok(tokenizer.encode_fast(text, special).map_err(|e| e.to_string())?.get_ids().to_vec())
    };
    let plain = ids("a b", false)?;
    let whole = ids("a b", true)?;
    for start in 0..=whole.len().saturating_sub(plain.len()) {
        let (before, after) = (&whole[..start], whole.get(start + plain.len()..).unwrap_or(&[]));
        let around = |text: &str| -> Result<bool> { Ok([before, &ids(text, false)?, after].concat() == ids(text, true)?) };
        if around("a b")? && around("")? && around("b a c")? {
            return Ok((before.to_vec(), after.to_vec()));
        }
    }
    Err("its post-processor does more than put special tokens around a text, which is not supported".to_string())
}
