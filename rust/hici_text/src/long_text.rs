// SPDX-License-Identifier: Apache-2.0
//! A long text in pieces, with exactly the ids of the whole.
//!
//! Cutting a text changes ids near the cut: a tokenizer may look at what follows (`\s+(?!\S)`), compose characters, put a
//! space in front of a text, or take a whole text as one word. So pieces overlap: each one is encoded with CONTEXT bytes of
//! its neighbours on both sides, and two neighbours are joined at a boundary between tokens that both agree on, in the
//! middle of the overlap. Such a boundary counts only where a cut provably changes nothing:
//!  - it lies between two words of the pre-tokenizer. Pre-tokenizers go from left to right, so what follows a shared word
//!    boundary is the same whether the text began earlier or later; or
//!  - the tokenizer cuts no words (Llama-2's), and the two characters at it stand side by side in no token of the vocabulary,
//!    so no merge ever crosses it: every space is such a place. Where words are cut that is not enough: digits by threes
//!    (Llama-3) are cut elsewhere when their run began elsewhere;
//! and where AGREEING tokens on both sides are the same in both pieces, at least MARGIN bytes away from where either piece
//! was cut. That last distance is the one assumption: a pre-tokenizer must not look further than MARGIN bytes ahead. Pieces
//! that share no such boundary (one word of many kilobytes) are encoded again as one.

use crate::ffi::Result;
use crate::tokenizer::{coding_bounds, Tokenizer};
use crate::words::{Token, Words};
use std::ops::Range;

pub const PIECE: usize = 256 << 10;
const CONTEXT: usize = 4 << 10;
const MARGIN: usize = CONTEXT / 2;
const AGREEING: usize = 4;

pub struct Part {
    pub ids: Vec<u32>,
    pub keep_from: usize,
    pub next_start: usize,
}

/// See hici_tokenizer_encode_part in the header.
pub fn encode_part(tokenizer: &Tokenizer, text: &str, start: usize, is_last: bool) -> Result<Part> {
    if !text.is_char_boundary(start) {
        return Err(format!("byte {start} is no place to start"));
    }
    if is_last && start == 0 && text.len() <= PIECE {
        let ids = tokenizer.encode_batch(&[text], false)?.pop().unwrap_or_default();
        return Ok(Part { ids, keep_from: text.len(), next_start: 0 });
    }
    let mut links = join_all(tokenizer, text, encode_links(tokenizer, text, is_last)?)?;
    links[0].begin = links[0].token_at(start).ok_or_else(|| format!("no token starts at byte {start}"))?;
    if is_last {
        return Ok(Part { ids: ids_of(&links), keep_from: text.len(), next_start: 0 });
    }
    // The last link is encoded again in the next part, from the same context, so the boundary before it holds there too.
    let last = links.pop().ok_or("no links")?;
    if links.is_empty() {
        return Ok(Part { ids: Vec::new(), keep_from: 0, next_start: start });
    }
    Ok(Part { ids: ids_of(&links), keep_from: last.range.start, next_start: last.begin_byte() - last.range.start })
}

/// A stretch of text with what is needed of its encoding, of which tokens [begin, end) belong to the result.
struct Link {
    range: Range<usize>,
    ids: Vec<u32>,
    /// First and last byte of each token, in the stretch.
    offsets: Vec<(usize, usize)>,
    /// Number of the word that each token belongs to.
    words: Vec<Option<u32>>,
    /// The texts of the tokens near the two ends, where links are joined.
    first_tokens: Vec<String>,
    last_tokens: Vec<String>,
    begin: usize,
    end: usize,
}

impl Link {
    /// On a thread of the tokenizer, which frees the large part of the encoding too.
    fn new(inner: &tokenizers::Tokenizer, words: &Option<Words>, text: String, range: Range<usize>) -> Result<Link> {
        if let Some(words) = words {
            if let Some(tokens) = words.tokens_of(inner, &text)? {
                return Link::of_tokens(inner, &tokens, range);
            }
        }
        let encoding = inner.encode(text, false).map_err(|e| e.to_string())?;
        let offsets = encoding.get_offsets().to_vec();
        let (first, last) = Link::edges(&offsets, &range);
        let end = offsets.len();
        Ok(Link {
            ids: encoding.get_ids().to_vec(),
            words: encoding.get_word_ids().to_vec(),
            first_tokens: encoding.get_tokens()[..first].to_vec(),
            last_tokens: encoding.get_tokens()[last..].to_vec(),
            range,
            offsets,
            begin: 0,
            end,
        })
    }

    fn of_tokens(inner: &tokenizers::Tokenizer, tokens: &[Token], range: Range<usize>) -> Result<Link> {
        let offsets: Vec<_> = tokens.iter().map(|token| token.bytes).collect();
        let (first, last) = Link::edges(&offsets, &range);
        let text = |token: &Token| inner.id_to_token(token.id).ok_or_else(|| format!("no token has the id {}", token.id));
        Ok(Link {
            ids: tokens.iter().map(|token| token.id).collect(),
            words: tokens.iter().map(|token| Some(token.word)).collect(),
            first_tokens: tokens[..first].iter().map(text).collect::<Result<_>>()?,
            last_tokens: tokens[last..].iter().map(text).collect::<Result<_>>()?,
            range,
            offsets,
            begin: 0,
            end: tokens.len(),
        })
    }

    /// The tokens before the first number and from the second one on are near the ends.
    fn edges(offsets: &[(usize, usize)], range: &Range<usize>) -> (usize, usize) {
        const EDGE: usize = 2 * CONTEXT;
        let first_from = |byte: usize| offsets.partition_point(|&(begin, _)| begin < byte);
        let first = first_from(EDGE + 1);
        (first, first_from((range.len() + 1).saturating_sub(EDGE)).max(first))
    }

    fn len(&self) -> usize {
        self.ids.len()
    }

    /// First and last byte of a token, in the text.
    fn place(&self, token: usize) -> (usize, usize) {
        let (begin, end) = self.offsets[token];
        (self.range.start + begin, self.range.start + end)
    }

    /// None for tokens far from the ends.
    fn text_of(&self, token: usize) -> Option<&String> {
        let last_at = self.len() - self.last_tokens.len();
        self.first_tokens.get(token).or_else(|| self.last_tokens.get(token.checked_sub(last_at)?))
    }

    fn begin_byte(&self) -> usize {
        self.place(self.begin).0
    }

    /// The token that starts at a byte where the one before has ended.
    fn token_at(&self, byte: usize) -> Option<usize> {
        if byte == self.range.start {
            return Some(0);
        }
        let from = self.first_from(byte);
        (from..self.len()).take_while(|&t| self.place(t).0 == byte).find(|&t| t == 0 || self.place(t - 1).1 <= byte)
    }

    /// The first token that starts at `byte` or later.
    fn first_from(&self, byte: usize) -> usize {
        self.offsets.partition_point(|&(begin, _)| self.range.start + begin < byte)
    }

    fn same_token(&self, token: usize, other: &Link, other_token: usize) -> bool {
        self.ids[token] == other.ids[other_token] && self.place(token) == other.place(other_token)
    }

    fn word_starts(&self, token: usize) -> bool {
        self.words[token] != self.words[token - 1]
    }

    /// True when no token of the vocabulary holds the two characters at the boundary before `token` side by side.
    fn never_merged(&self, tokenizer: &Tokenizer, token: usize) -> bool {
        let (Some(left), Some(right)) = (self.text_of(token - 1), self.text_of(token)) else { return false };
        match (left.chars().last(), right.chars().next()) {
            (Some(x), Some(y)) => tokenizer.is_plain_token(left) && tokenizer.is_plain_token(right) && !tokenizer.has_bigram(x, y),
            _ => false,
        }
    }
}

fn ids_of(links: &[Link]) -> Vec<u32> {
    links.iter().flat_map(|link| link.ids[link.begin..link.end].iter().copied()).collect()
}

/// When the text goes on, the last link is a short one: it finds the boundary at which the next part goes on.
fn encode_links(tokenizer: &Tokenizer, text: &str, is_last: bool) -> Result<Vec<Link>> {
    let cuts = cut_places(text, if is_last { text.len() } else { text.len().saturating_sub(CONTEXT) });
    let ranges: Vec<_> = cuts
        .windows(2)
        .map(|cut| floor_boundary(text, cut[0].saturating_sub(CONTEXT))..floor_boundary(text, cut[1] + CONTEXT))
        .collect();
    links_of(tokenizer, text, ranges)
}

fn links_of(tokenizer: &Tokenizer, text: &str, ranges: Vec<Range<usize>>) -> Result<Vec<Link>> {
    let job = |range: Range<usize>| {
        let (piece, bounds) = (text[range.clone()].to_string(), coding_bounds(range.len()));
        let words = tokenizer.words();
        (move |inner: &tokenizers::Tokenizer| Link::new(inner, &words, piece, range), bounds)
    };
    tokenizer.run_all(ranges.into_iter().map(job).collect())
}

/// Where pieces meet: 0, then a place every PIECE bytes or less up to `last_cut`, and the end of the text.
fn cut_places(text: &str, last_cut: usize) -> Vec<usize> {
    let count = last_cut.div_ceil(PIECE).max(1);
    let mut cuts = vec![0];
    for i in 1..=count {
        let cut = floor_boundary(text, last_cut / count * i);
        if cut > cuts[cuts.len() - 1] && cut < text.len() {
            cuts.push(cut);
        }
    }
    cuts.push(text.len());
    cuts
}

pub fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Joins every link to the one before. Links that share no boundary are merged: encoded again as one, twice as many at
/// each failure in a row, so that one endless word costs no square of its length.
fn join_all(tokenizer: &Tokenizer, text: &str, links: Vec<Link>) -> Result<Vec<Link>> {
    let mut joined: Vec<Link> = Vec::new();
    let mut rest = links.into_iter();
    let mut absorbed = 1;
    while let Some(mut next) = rest.next() {
        let Some(last) = joined.last_mut() else {
            joined.push(next);
            continue;
        };
        if let Some((end, begin)) = shared_boundary(tokenizer, last, &next) {
            (last.end, next.begin) = (end, begin);
            joined.push(next);
            absorbed = 1;
            continue;
        }
        let end = rest.by_ref().take(absorbed - 1).last().map_or(next.range.end, |link| link.range.end);
        absorbed *= 2;
        let merged = last.range.start..end;
        let begin_byte = last.begin_byte();
        *last = links_of(tokenizer, text, vec![merged])?.pop().ok_or("no link")?;
        last.begin = last.token_at(begin_byte).ok_or_else(|| format!("no token starts at byte {begin_byte}"))?;
    }
    Ok(joined)
}

/// A boundary in the overlap of two neighbours where the cut changes nothing: the token of `left` that ends its part, and
/// the one of `right` that begins its own.
fn shared_boundary(tokenizer: &Tokenizer, left: &Link, right: &Link) -> Option<(usize, usize)> {
    let (low, high) = (right.range.start + MARGIN, left.range.end.checked_sub(MARGIN)?);
    let (mut l, mut r) = (left.first_from(low), right.first_from(low));
    let mut run = 0;
    while l < left.len() && r < right.len() && left.place(l).0 <= high {
        if left.same_token(l, right, r) {
            run += 1;
            if run >= 2 * AGREEING {
                let (before, after) = (l + 1 - AGREEING, r + 1 - AGREEING);
                if is_safe(tokenizer, left, before) && is_safe(tokenizer, right, after) {
                    return Some((before, after));
                }
            }
            (l, r) = (l + 1, r + 1);
            continue;
        }
        run = 0;
        let order = left.place(l).0.cmp(&right.place(r).0);
        l += usize::from(order.is_le());
        r += usize::from(order.is_ge());
    }
    None
}

fn is_safe(tokenizer: &Tokenizer, link: &Link, token: usize) -> bool {
    let is_apart = |at| link.word_starts(at) || (!tokenizer.cuts_words() && link.never_merged(tokenizer, at));
    token > 0 && link.place(token - 1).1 <= link.place(token).0 && is_apart(token)
}
