// SPDX-License-Identifier: Apache-2.0
//! Training of a byte-level BPE.

use crate::ffi::Result;
use ahash::AHashMap;
use compact_str::CompactString;
use rayon::prelude::*;
use tokenizers::models::bpe::{BpeTrainer, BPE};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, TokenizerBuilder};

pub struct Options {
    pub vocab_size: usize,
    pub min_frequency: u64,
    pub special_tokens: Vec<String>,
    pub bos: String,
    pub num_threads: usize,
}

type Counts = AHashMap<CompactString, u64>;

pub struct BpeTraining {
    options: Options,
    pool: rayon::ThreadPool,
    counts: Counts,
}

/// The split rule of GPT-2, on text as it is.
fn byte_level() -> ByteLevel {
    ByteLevel::new(false, true, true)
}

impl BpeTraining {
    pub fn new(options: Options) -> Result<BpeTraining> {
        let smallest = 256 + options.special_tokens.len();
        if options.vocab_size < smallest {
            return Err(format!("a vocabulary of {} cannot hold the 256 bytes and the special tokens; use at least {smallest}", options.vocab_size));
        }
        if options.special_tokens.iter().any(String::is_empty) {
            return Err("a special token is empty".to_string());
        }
        if !options.bos.is_empty() && !options.special_tokens.contains(&options.bos) {
            return Err(format!("'{}' is not among the special tokens", options.bos));
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(options.num_threads).build().map_err(|e| e.to_string())?;
        Ok(BpeTraining { options, pool, counts: Counts::new() })
    }

    pub fn feed(&mut self, texts: &[&str]) -> Result<()> {
        let lines: Vec<&str> = texts.iter().flat_map(|text| text.split_inclusive('\n')).collect();
        let counts = self.pool.install(|| lines.par_chunks(512).map(count_words).try_reduce(Counts::new, |a, b| Ok(merged(a, b))))?;
        self.counts = merged(std::mem::take(&mut self.counts), counts);
        Ok(())
    }

    pub fn finish(&mut self) -> Result<String> {
        let counts = std::mem::take(&mut self.counts);
        if counts.is_empty() {
            return Err("there is no text to learn from".to_string());
        }
        let special: Vec<AddedToken> = self.options.special_tokens.iter().map(|t| AddedToken::from(t.clone(), true)).collect();
        let trainer = BpeTrainer::builder()
            .show_progress(false)
            .vocab_size(self.options.vocab_size)
            .min_frequency(self.options.min_frequency)
            .special_tokens(special.clone())
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let mut model = BPE::default();
        self.pool.install(|| trainer.do_train(&counts, &mut model)).map_err(|e| e.to_string())?;
        to_json(model, special, &self.options.bos)
    }
}

fn count_words(lines: &[&str]) -> Result<Counts> {
    let split = byte_level();
    let mut counts = Counts::new();
    for line in lines {
        let mut words = PreTokenizedString::from(*line);
        split.pre_tokenize(&mut words).map_err(|e| e.to_string())?;
        for (word, _, _) in words.get_splits(OffsetReferential::Original, OffsetType::Byte) {
            *counts.entry(CompactString::from(word)).or_default() += 1;
        }
    }
    Ok(counts)
}

/// The smaller one is poured into the larger one.
fn merged(a: Counts, b: Counts) -> Counts {
    let (mut into, from) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    for (word, count) in from {
        *into.entry(word).or_default() += count;
    }
    into
}

fn to_json(model: BPE, special: Vec<AddedToken>, bos: &str) -> Result<String> {
    let mut tokenizer = TokenizerBuilder::<BPE, tokenizers::NormalizerWrapper, ByteLevel, tokenizers::PostProcessorWrapper, ByteLevel>::new()
        .with_model(model)
        .with_pre_tokenizer(Some(byte_level()))
        .with_decoder(Some(byte_level()))
        .build()
        .map_err(|e| e.to_string())?;
    tokenizer.add_special_tokens(special).map_err(|e| e.to_string())?;
    if !bos.is_empty() {
        let id = tokenizer.token_to_id(bos).ok_or_else(|| format!("'{bos}' got no id"))?;
        let template = TemplateProcessing::builder()
            .try_single(format!("{bos} $A"))
            .map_err(|e| e.to_string())?
            .special_tokens(vec![(bos.to_string(), id)])
            .build()
            .map_err(|e| e.to_string())?;
        tokenizer.with_post_processor(Some(template));
    }
    tokenizer.to_string(true).map_err(|e| e.to_string())
}
