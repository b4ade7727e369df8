// SPDX-License-Identifier: Apache-2.0
//! What scores of answers compare: their words and numbers by the rules of Unicode that the Python scorers of LongBench use.

use crate::chinese;
use regex::Regex;
use std::sync::OnceLock;

/// The punctuation that LongBench leaves out of Chinese answers, beside that of ASCII.
const CHINESE_PUNCTUATION: &str = "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏.";

struct Patterns {
    /// A run of `\w` of Python: letters, numbers and the underscore, but no marks.
    word: Regex,
    number: Regex,
}

fn patterns() -> &'static Patterns {
    static PATTERNS: OnceLock<Patterns> = OnceLock::new();
    PATTERNS.get_or_init(|| Patterns {
        word: Regex::new(r"[\p{L}\p{N}_]+").expect("a valid pattern"),
        number: Regex::new(r"\p{Nd}+").expect("a valid pattern"),
    })
}

/// `str.isspace` of Python, which knows four separators of ASCII beside Unicode's white space.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1C}'..='\u{1F}')
}

/// Lower case, without ASCII punctuation, articles and surplus white space: words with one space between them.
pub fn english_words(text: &str) -> String {
    let bare: String = text.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let is_article = |word: &str| matches!(word, "a" | "an" | "the");
    let without_articles = patterns().word.replace_all(&bare, |found: &regex::Captures| {
        let word = &found[0];
        if is_article(word) { " ".to_string() } else { word.to_string() }
    });
    join(without_articles.split(is_space).filter(|word| !word.is_empty()))
}

/// The words of Chinese text, each in lower case, without punctuation and white space; none of them is empty.
pub fn chinese_words(text: &str) -> String {
    let bare = |word: &&str| -> String {
        let is_kept = |c: &char| !c.is_ascii_punctuation() && !CHINESE_PUNCTUATION.contains(*c) && !is_space(*c);
        word.to_lowercase().chars().filter(is_kept).collect()
    };
    let words: Vec<String> = chinese::words(text).iter().map(bare).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// The words of Chinese text as they stand there.
pub fn segmented(text: &str) -> String {
    chinese::words(text).join(" ")
}

/// The runs of decimal digits.
pub fn numbers(text: &str) -> String {
    join(patterns().number.find_iter(text).map(|found| found.as_str()))
}

/// Insertions and deletions that turn one text into the other, and the characters of both.
pub fn edit_distance(a: &str, b: &str) -> (usize, usize) {
    let distance = rapidfuzz::distance::indel::distance(a.chars(), b.chars());
    (distance, a.chars().count() + b.chars().count())
}

fn join<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<&str>>().join(" ")
}
