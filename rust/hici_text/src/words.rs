// SPDX-License-Identifier: Apache-2.0
//! Tokens of texts whose words are remembered.
//!
//! Tokenizers of the GPT-2 kind (Llama 3, Qwen) cut a text by one regular expression and then encode each word alone, by its
//! bytes. The tokenizers crate does that with several strings, tables of alignments and tokens for each word, of which ids need
//! none: nine tenths of its time. So for these tokenizers the text is cut here, by the crate's own engine and expression, and the
//! crate sees each different word once. Everything else (added tokens, normalizers that change the text) stays its work, and other
//! kinds of tokenizers are encoded by the crate as a whole.

use crate::ffi::Result;
use crate::long_text::floor_boundary;
use ahash::AHashMap;
use compact_str::CompactString;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::tokenizer::normalizer::SplitDelimiterBehavior;
use tokenizers::utils::SysRegex;
use tokenizers::{Model, ModelWrapper, NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

/// What ByteLevel cuts by where `use_regex` is true.
const GPT2_WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Of each thread: at most these many words are remembered. Then it starts anew, as what a text is about may have changed.
const MOST_WORDS: usize = 1 << 16;
/// Longer words hardly come twice.
const LONGEST_WORD: usize = 64;

/// A token and its bytes in the text; one that holds a part of a character has all of it, as the crate says it.
pub struct Token {
    pub id: u32,
    pub bytes: (usize, usize),
    /// Number of its word.
    pub word: u32,
}

pub struct Words {
    /// Threads may work for several tokenizers.
    number: u64,
    cut: SysRegex,
    plain: PlainTexts,
}

impl Words {
    /// None where words are not encoded one by one, or not the same each time.
    pub fn of(inner: &tokenizers::Tokenizer) -> Option<Words> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let ModelWrapper::BPE(model) = inner.get_model() else { return None };
        if model.dropout.is_some_and(|dropout| dropout != 0.0) {
            return None;
        }
        let cut = SysRegex::new(&expression_of(inner.get_pre_tokenizer()?)?).ok()?;
        Some(Words { number: NEXT.fetch_add(1, Ordering::Relaxed), cut, plain: PlainTexts::of(inner) })
    }

    pub fn ids_of(&self, inner: &tokenizers::Tokenizer, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        if self.plain.contains(text) {
            self.each_word(inner, text, |_, tokens| ids.extend(tokens.iter().map(|&(id, _)| id)))?;
            return Ok(ids);
        }
        let sections = inner.get_added_vocabulary().extract_and_normalize(inner.get_normalizer(), text);
        for (section, _, tokens) in sections.get_splits(OffsetReferential::Original, OffsetType::None) {
            match tokens {
                Some(tokens) => ids.extend(tokens.iter().map(|token| token.id)),
                None => self.each_word(inner, section, |_, tokens| ids.extend(tokens.iter().map(|&(id, _)| id)))?,
            }
        }
        Ok(ids)
    }

    /// None for texts that are not words alone.
    pub fn tokens_of(&self, inner: &tokenizers::Tokenizer, text: &str) -> Result<Option<Vec<Token>>> {
        if !self.plain.contains(text) {
            return Ok(None);
        }
        let mut all = Vec::with_capacity(text.len() / 3);
        let mut word = 0;
        self.each_word(inner, text, |start, tokens| {
            let mut begin = start;
            for &(id, end) in tokens {
                let end = start + end as usize;
                all.push(Token { id, bytes: (floor_boundary(text, begin), ceil_boundary(text, end)), word });
                begin = end;
            }
            word += 1;
        })?;
        Ok(Some(all))
    }

    /// Calls `take` with the place and the tokens of each word. What no word of the expression covers is a word too.
    fn each_word(&self, inner: &tokenizers::Tokenizer, text: &str, mut take: impl FnMut(usize, &[WordToken])) -> Result<()> {
        REMEMBERED.with_borrow_mut(|remembered| {
            remembered.belong_to(self.number);
            let mut add = |begin: usize, end: usize| -> Result<()> {
                if begin < end {
                    take(begin, remembered.tokens_of(inner, &text[begin..end])?);
                }
                Ok(())
            };
            let mut done = 0;
            for (begin, end) in self.cut.find_iter(text) {
                add(done, begin)?;
                add(begin, end)?;
                done = end;
            }
            add(done, text.len())
        })
    }
}

fn ceil_boundary(text: &str, at: usize) -> usize {
    (at..text.len()).find(|&i| text.is_char_boundary(i)).unwrap_or(text.len())
}

/// The one expression that cuts a text before its words become bytes.
fn expression_of(pre_tokenizer: &PreTokenizerWrapper) -> Option<String> {
    match pre_tokenizer {
        PreTokenizerWrapper::ByteLevel(bytes) if bytes.use_regex && !bytes.add_prefix_space => Some(GPT2_WORDS.to_string()),
        PreTokenizerWrapper::Sequence(steps) => match steps.as_ref() {
            [PreTokenizerWrapper::Split(Split { pattern: SplitPattern::Regex(cut), behavior: SplitDelimiterBehavior::Isolated, .. }), PreTokenizerWrapper::ByteLevel(bytes)]
                if !bytes.use_regex && !bytes.add_prefix_space =>
            {
                Some(cut.clone())
            }
            _ => None,
        },
        _ => None,
    }
}

// ---- texts that are words alone --------------------------------------------------------------------------------

/// Texts that neither the normalizer changes nor an added token stands in.
struct PlainTexts {
    is_any: bool,
    /// No normalizer, or one that leaves ASCII as it is.
    is_ascii_alone: bool,
    /// First bytes of added tokens, and the texts of these by their first two bytes; of one byte: by that and any.
    begins: [bool; 256],
    is_one_byte: [bool; 256],
    added: AHashMap<[u8; 2], Vec<String>>,
}

/// Where more added tokens begin alike, a text with their beginning counts as one with a token: models with sound have
/// tens of thousands of `<|audio_N|>`.
const MOST_ALIKE: usize = 16;

impl PlainTexts {
    fn of(inner: &tokenizers::Tokenizer) -> PlainTexts {
        let (is_any, is_ascii_alone) = match inner.get_normalizer() {
            None => (true, false),
            Some(NormalizerWrapper::NFC(_)) => (true, true),
            Some(_) => (false, false),
        };
        let mut plain =
            PlainTexts { is_any, is_ascii_alone, begins: [false; 256], is_one_byte: [false; 256], added: AHashMap::new() };
        for token in inner.get_added_vocabulary().get_added_tokens_decoder().values() {
            match token.content.as_bytes() {
                [] => plain.is_any = false,
                [byte] => plain.is_one_byte[usize::from(*byte)] = true,
                [first, second, ..] => plain.added.entry([*first, *second]).or_default().push(token.content.clone()),
            }
            if let Some(&first) = token.content.as_bytes().first() {
                plain.begins[usize::from(first)] = true;
            }
            // NFC makes ASCII of a few letters.
            plain.is_any &= !is_ascii_alone || token.content.is_ascii();
        }
        plain
    }

    fn contains(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let begins_token = |(i, &byte): (usize, &u8)| {
            if !self.begins[usize::from(byte)] {
                return false;
            }
            let alike = bytes.get(i + 1).and_then(|&next| self.added.get(&[byte, next]));
            self.is_one_byte[usize::from(byte)]
                || alike.is_some_and(|tokens| tokens.len() > MOST_ALIKE || tokens.iter().any(|token| bytes[i..].starts_with(token.as_bytes())))
        };
        self.is_any && (!self.is_ascii_alone || text.is_ascii()) && !bytes.iter().enumerate().any(begins_token)
    }
}

// ---- words that were seen --------------------------------------------------------------------------------------

thread_local! {
    static REMEMBERED: RefCell<Remembered> = RefCell::default();
}

/// An id, and where the token ends in the word.
type WordToken = (u32, u32);

#[derive(Default)]
struct Remembered {
    of: u64,
    /// The tokens of a word in `tokens`.
    places: AHashMap<CompactString, (u32, u32)>,
    tokens: Vec<WordToken>,
    /// Of a word that is not remembered.
    others: Vec<WordToken>,
}

impl Remembered {
    fn belong_to(&mut self, number: u64) {
        if self.of != number {
            *self = Remembered { of: number, ..Remembered::default() };
        }
    }

    fn tokens_of(&mut self, inner: &tokenizers::Tokenizer, word: &str) -> Result<&[WordToken]> {
        if let Some(&(begin, end)) = self.places.get(word) {
            return Ok(&self.tokens[begin as usize..end as usize]);
        }
        self.others.clear();
        encode_word(inner, word, &mut self.others).map_err(|e| e.to_string())?;
        if word.len() <= LONGEST_WORD {
            self.remember(word);
        }
        Ok(&self.others)
    }

    fn remember(&mut self, word: &str) {
        if self.places.len() == MOST_WORDS {
            self.places.clear();
            self.tokens.clear();
        }
        let begin = self.tokens.len() as u32; // a word has LONGEST_WORD tokens at most
        self.tokens.extend_from_slice(&self.others);
        self.places.insert(word.into(), (begin, self.tokens.len() as u32));
    }
}

/// As the crate does it: each byte of the word becomes a character, and the tokens are those of these characters.
fn encode_word(inner: &tokenizers::Tokenizer, word: &str, tokens: &mut Vec<WordToken>) -> tokenizers::Result<()> {
    let mut pieces = PreTokenizedString::from(word);
    ByteLevel::new(false, false, false).pre_tokenize(&mut pieces)?;
    let mut end = 0;
    for (bytes, _, _) in pieces.get_splits(OffsetReferential::Original, OffsetType::None) {
        for token in inner.get_model().tokenize(bytes)? {
            end += bytes.get(token.offsets.0..token.offsets.1).map_or(0, |part| part.chars().count()) as u32;
            tokens.push((token.id, end));
        }
    }
    Ok(())
}
