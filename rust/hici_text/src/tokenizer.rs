// SPDX-License-Identifier: Apache-2.0
//! A tokenizer.json, ready to encode and decode, with its own threads.

use crate::bounds::{self, Bounds, Failure};
use crate::ffi::Result;
use crate::long_text;
use crate::tokenizer_parts;
use crate::words::Words;
use std::collections::HashSet;
use tokenizers::PreTokenizerWrapper;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokenizers::Encoding;

/// Of loading: a vocabulary takes up to thirty bytes of memory for each of its file.
const LOADING: Bounds = Bounds { bytes: 256 << 20, cpu: Duration::from_secs(60) };
const LOADING_BYTES_FOR_EACH: usize = 40;
/// Of encoding and decoding. Offsets and tokens take some hundred bytes for each of the text where every byte is a token of its
/// own. What has less than a fiftieth of the usual speed is no use to anybody.
const CODING: Bounds = Bounds { bytes: 64 << 20, cpu: Duration::from_secs(10) };
const CODING_BYTES_FOR_EACH: usize = 1024;
const CODING_TIME_FOR_EACH: Duration = Duration::from_micros(40);
/// Regular expressions and nested parts of a tokenizer go deep.
const STACK_BYTES: usize = 64 << 20;
/// Short texts are worked on together, up to this many bytes.
const GROUP_BYTES: usize = 64 << 10;

/// Bounds of encoding or decoding something that has `num_bytes`.
pub fn coding_bounds(num_bytes: usize) -> Bounds {
    Bounds::relative(CODING, num_bytes, CODING_BYTES_FOR_EACH, CODING_TIME_FOR_EACH)
}

/// Words whose tokens are remembered. The crate's own number, 10,000, is soon used up by a text of any size.
const REMEMBERED_WORDS: usize = 1 << 17;

fn remember_more_words(inner: &mut tokenizers::Tokenizer) {
    let mut model = inner.get_model().clone();
    model.resize_cache(REMEMBERED_WORDS);
    inner.with_model(model);
}

#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    special_before: Vec<u32>,
    special_after: Vec<u32>,
    threads: Arc<Threads>,
    bigrams: Arc<OnceLock<HashSet<(char, char)>>>,
    words: Arc<Option<Words>>,
}

/// Started at the first work.
struct Threads {
    wanted: usize,
    pool: OnceLock<Result<rayon::ThreadPool>>,
    /// Why they are not to be used any more: one of them never came back.
    lost: OnceLock<String>,
}

impl Threads {
    fn start(&self, task: bounds::Task) -> Result<()> {
        let build = || {
            let builder = rayon::ThreadPoolBuilder::new().num_threads(self.wanted).stack_size(STACK_BYTES);
            builder.build().map_err(|e| format!("cannot start threads: {e}"))
        };
        self.pool.get_or_init(build).as_ref().map_err(String::clone)?.spawn(task);
        Ok(())
    }
}

impl Tokenizer {
    /// Also whether `more_tokens` (include/hici_text.h) made another tokenizer of it.
    pub fn from_json(json: &[u8], more_tokens: &[u8], num_threads: usize) -> Result<(Tokenizer, bool)> {
        let bounds = Bounds::relative(LOADING, json.len() + more_tokens.len(), LOADING_BYTES_FOR_EACH, Duration::ZERO);
        let (json, more_tokens) = (json.to_vec(), more_tokens.to_vec());
        let load = move || {
            let mut inner = tokenizer_parts::parsed(&json)?;
            let changed = tokenizer_parts::add_tokens(&mut inner, &more_tokens)?;
            inner.with_truncation(None).map_err(|_| "its 'truncation' cannot be taken off".to_string())?;
            inner.with_padding(None);
            remember_more_words(&mut inner);
            let (special_before, special_after) = probe_special_ids(&inner)?;
            // What is left of a post-processor once the special tokens are known only trims offsets; exact ones are needed.
            inner.with_post_processor(None::<tokenizers::PostProcessorWrapper>);
            let words = Words::of(&inner);
            Ok((inner, special_before, special_after, changed, words))
        };
        let (inner, special_before, special_after, changed, words) = bounds::run_apart(bounds, STACK_BYTES, load).map_err(|e| match e {
            Failure::Job(message) | Failure::Bound(message) => message,
        })?;
        let threads = Threads { wanted: num_threads, pool: OnceLock::new(), lost: OnceLock::new() };
        let tokenizer = Tokenizer {
            inner: Arc::new(inner),
            special_before,
            special_after,
            threads: Arc::new(threads),
            bigrams: Arc::new(OnceLock::new()),
            words: Arc::new(words),
        };
        Ok((tokenizer, changed))
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

    /// Runs `jobs` on this tokenizer's threads, each within its bounds, and returns their results in order.
    pub fn run_all<T, J>(&self, jobs: Vec<(J, Bounds)>) -> Result<Vec<T>>
    where
        T: Send + 'static,
        J: FnOnce(&tokenizers::Tokenizer) -> Result<T> + Send + 'static,
    {
        if let Some(lost) = self.threads.lost.get() {
            return Err(lost.clone());
        }
        let bind = |(job, bounds): (J, Bounds)| {
            let inner = self.inner.clone();
            (move || job(&inner), bounds)
        };
        match bounds::run_all(jobs.into_iter().map(bind).collect(), |task| self.threads.start(task)) {
            Ok(results) => Ok(results),
            Err(Failure::Job(message)) => Err(message),
            Err(bound) => Err(self.threads.lost.get_or_init(|| bound.told("take the tokenizer.json that the model came with")).clone()),
        }
    }

    pub fn words(&self) -> Arc<Option<Words>> {
        self.words.clone()
    }

    fn run<T: Send + 'static>(&self, num_bytes: usize, job: impl FnOnce(&tokenizers::Tokenizer) -> Result<T> + Send + 'static) -> Result<T> {
        self.run_all(vec![(job, coding_bounds(num_bytes))])?.pop().ok_or_else(|| "no result".to_string())
    }

    /// Long texts in pieces, short ones in groups, all threads at work on either.
    pub fn encode_batch(&self, texts: &[&str], add_special_tokens: bool) -> Result<Vec<Vec<u32>>> {
        let (long, short): (Vec<usize>, Vec<usize>) = (0..texts.len()).partition(|&i| texts[i].len() > long_text::PIECE);
        let mut all = vec![Vec::new(); texts.len()];
        let jobs = groups_of(&short, texts).into_iter().map(|group| {
            let num_bytes = group.iter().map(String::len).sum();
            let words = self.words();
            let encode = move |inner: &tokenizers::Tokenizer| group.iter().map(|text| ids_of(inner, &words, text)).collect::<Result<Vec<_>>>();
            (encode, coding_bounds(num_bytes))
        });
        for (i, ids) in short.iter().zip(self.run_all(jobs.collect())?.into_iter().flatten()) {
            all[*i] = ids;
        }
        for i in long {
            all[i] = long_text::encode_part(self, texts[i], 0, true)?.ids;
        }
        if add_special_tokens {
            all.iter_mut().for_each(|ids| *ids = [&self.special_before[..], ids, &self.special_after].concat());
        }
        Ok(all)
    }

    /// One text on one thread, with the place and the word of every token.
    pub fn encode_with_offsets(&self, text: &str) -> Result<Encoding> {
        let text = text.to_string();
        self.run(text.len(), move |inner| inner.encode(text, false).map_err(|e| e.to_string()))
    }

    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        let (ids, num_bytes) = (ids.to_vec(), std::mem::size_of_val(ids));
        self.run(num_bytes, move |inner| inner.decode(&ids, skip_special_tokens).map_err(|e| e.to_string()))
    }

    /// The content of a tokenizer.json that makes the same ids, without a post-processor.
    pub fn to_json(&self) -> Result<String> {
        let inner = self.inner.clone();
        let bounds = Bounds::relative(LOADING, 0, LOADING_BYTES_FOR_EACH, Duration::ZERO);
        let write = move || inner.to_string(false).map_err(|e| e.to_string());
        bounds::run_apart(bounds, STACK_BYTES, write).map_err(|e| match e {
            Failure::Job(message) | Failure::Bound(message) => message,
        })
    }

    /// False when the model gets a text whole.
    pub fn cuts_words(&self) -> bool {
        self.inner.get_pre_tokenizer().is_some_and(cuts)
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

/// Copies of the texts that `chosen` names, in groups of GROUP_BYTES or a little more.
fn cuts(pre_tokenizer: &PreTokenizerWrapper) -> bool {
    match pre_tokenizer {
        PreTokenizerWrapper::Metaspace(spaces) => spaces.split,
        PreTokenizerWrapper::ByteLevel(bytes) => bytes.use_regex,
        PreTokenizerWrapper::Sequence(steps) => steps.as_ref().iter().any(cuts),
        _ => true,
    }
}

fn groups_of(chosen: &[usize], texts: &[&str]) -> Vec<Vec<String>> {
    let mut groups: Vec<Vec<String>> = Vec::new();
    let mut room = 0;
    for &i in chosen {
        match groups.last_mut() {
            Some(group) if room > 0 => group.push(texts[i].to_string()),
            _ => {
                groups.push(vec![texts[i].to_string()]);
                room = GROUP_BYTES;
            }
        }
        room = room.saturating_sub(texts[i].len().max(1));
    }
    groups
}

fn ids_of(inner: &tokenizers::Tokenizer, words: &Option<Words>, text: &str) -> Result<Vec<u32>> {
    if let Some(words) = words {
        return words.ids_of(inner, text);
    }
    Ok(inner.encode_fast(text, false).map_err(|e| e.to_string())?.get_ids().to_vec())
}

/// The ids that the post-processor puts around a text: found by comparing encodings, and refused when what it does depends
/// on the text.
fn probe_special_ids(tokenizer: &tokenizers::Tokenizer) -> Result<(Vec<u32>, Vec<u32>)> {
    let ids = |text: &str, special: bool| -> Result<Vec<u32>> {
        let encoded = tokenizer.encode_fast(text, special).map_err(|_| format!("it cannot encode the text '{text}'"))?;
        Ok(encoded.get_ids().to_vec())
    };
    let probe = |text: &&str| -> Result<(Vec<u32>, Vec<u32>)> { Ok((ids(text, false)?, ids(text, true)?)) };
    let probes = ["a b", "", "b a c"].iter().map(probe).collect::<Result<Vec<_>>>()?;
    let (plain, whole) = &probes[0];
    for start in 0..=whole.len().saturating_sub(plain.len()) {
        let (before, after) = (&whole[..start], whole.get(start + plain.len()..).unwrap_or(&[]));
        let is_around = |(plain, whole): &(Vec<u32>, Vec<u32>)| {
            // First what differs soonest: this is asked for every start.
            whole.len() == before.len() + plain.len() + after.len()
                && whole[start..].starts_with(plain)
                && whole.starts_with(before)
                && whole.ends_with(after)
        };
        if probes.iter().all(is_around) {
            return Ok((before.to_vec(), after.to_vec()));
        }
    }
    Err("its post-processor does more than put special tokens around a text, which is not supported".to_string())
}
