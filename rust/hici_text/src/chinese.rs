// SPDX-License-Identifier: Apache-2.0
//! Chinese text to words, the very words of `jieba.cut(text)` of the Python package 0.42.1, over the dictionary and the model
//! of jieba-rs. Where the two differ, and what is done about it:
//!  - jieba-rs takes all ideographs for text to segment, Python only U+4E00 to U+9FD5: blocks are found here by Python's rule.
//!  - After the model, jieba-rs joins Latin letters and digits over one character of any kind and digits ("a-1"), for it lacks
//!    the backslash of Python's `[a-zA-Z0-9]+(?:\.\d+)?%?`: such pieces are joined again and split by that rule.
//!  - Its dictionary lacks one word of Python's.

use jieba_rs::Jieba;
use regex::Regex;
use std::sync::OnceLock;

/// The words of the dictionary that are ASCII; they do not come from the model and stay whole.
const ASCII_WORDS: [&str; 5] = ["AT&T", "C#", "C++", "c#", "c++"];

struct Segmenter {
    jieba: Jieba,
    latin: Regex,
}

fn segmenter() -> &'static Segmenter {
    static SEGMENTER: OnceLock<Segmenter> = OnceLock::new();
    SEGMENTER.get_or_init(|| {
        let mut jieba = Jieba::new();
        jieba.add_word("B超", Some(3), Some("n"));
        Segmenter { jieba, latin: Regex::new(r"[a-zA-Z0-9]+(?:\.[0-9]+)?%?").expect("a valid pattern") }
    })
}

pub fn words(text: &str) -> Vec<&str> {
    let segmenter = segmenter();
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_block = is_block_character(first);
        let size = rest.find(|c| is_block_character(c) != is_block).unwrap_or(rest.len());
        let (block, tail) = rest.split_at(size);
        if is_block {
            cut_block(segmenter, block, &mut words);
        } else {
            split_other(block, &mut words);
        }
        rest = tail;
    }
    words
}

/// `re_han_default` of the Python package.
fn is_block_character(c: char) -> bool {
    matches!(c, '\u{4E00}'..='\u{9FD5}') || c.is_ascii_alphanumeric() || "+#&._%-".contains(c)
}

/// Every character by itself, but for a line end of two.
fn split_other<'a>(block: &'a str, words: &mut Vec<&'a str>) {
    let mut rest = block;
    while let Some(c) = rest.chars().next() {
        let size = if rest.starts_with("\r\n") { 2 } else { c.len_utf8() };
        let (word, tail) = rest.split_at(size);
        words.push(word);
        rest = tail;
    }
}

fn cut_block<'a>(segmenter: &Segmenter, block: &'a str, words: &mut Vec<&'a str>) {
    let mut at = 0;
    let mut latin_from = None;
    for word in segmenter.jieba.cut(block, true) {
        let is_loose = word.is_ascii() && !ASCII_WORDS.contains(&word);
        match (is_loose, latin_from) {
            (true, None) => latin_from = Some(at),
            (false, Some(from)) => split_latin(segmenter, &block[from..at], words),
            _ => {}
        }
        if !is_loose {
            latin_from = None;
            words.push(word);
        }
        at += word.len();
    }
    if let Some(from) = latin_from {
        split_latin(segmenter, &block[from..], words);
    }
}

/// `re_skip.split` of the Python package's finalseg: what matches, and what stands between.
fn split_latin<'a>(segmenter: &Segmenter, text: &'a str, words: &mut Vec<&'a str>) {
    let mut at = 0;
    for found in segmenter.latin.find_iter(text) {
        words.extend((found.start() > at).then(|| &text[at..found.start()]));
        words.push(found.as_str());
        at = found.end();
    }
    words.extend((at < text.len()).then(|| &text[at..]));
}
