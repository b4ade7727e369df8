/* SPDX-License-Identifier: Apache-2.0
 * C interface of the Rust crate hici_text: Hugging Face tokenizers, words of answers, and HTTP, compiled into the
 * binary.
 *
 * Rules that hold for every function:
 *  - Text goes in as pointer and size, needs no NUL at its end and must be UTF-8; anything else is an error, never
 * undefined. A NULL pointer is allowed where the size is 0.
 *  - A function that can fail has a last parameter `char** error`. It returns true (or an object) and leaves *error
 * alone, or returns false (or NULL) and stores one line of text there, to be freed with hici_text_free_string().
 * `error` may be NULL.
 *  - Panics of the Rust side are caught and come back as errors. Nothing is printed.
 *  - Work on tokenizers and chat templates has bounds on memory and processor time, relative to the size of what it is
 * given; to overstep one is an error. The thread that did it may never end, so such a tokenizer gives that error from
 * then on.
 *  - What a function hands out belongs to the caller, who gives it back to the function named beside it. Freeing NULL
 * is a no-op.
 *  - A tokenizer or chat template may be used by several threads at once; streams and trainers by one at a time.
 */
#ifndef HICI_TEXT_H
#define HICI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct HiciTokenizer HiciTokenizer;
typedef struct HiciDecodeStream HiciDecodeStream;
typedef struct HiciBpeTrainer HiciBpeTrainer;
typedef struct HiciChatTemplate HiciChatTemplate;

/* Borrowed text; the callee never keeps it. */
typedef struct {
  const char* data;
  size_t size;
} HiciTextView;

/* Ids of `num_texts` texts, one after the other; those of text i end at ends[i]. Free with hici_text_free_ids(). */
typedef struct {
  uint32_t* ids;
  size_t num_ids;
  size_t* ends;
  size_t num_texts;
} HiciTextIds;

/* Places in a text: byte bounds[2 i] up to bounds[2 i + 1] for each i. Free with hici_text_free_spans(). */
typedef struct {
  size_t* bounds;
  size_t num_bounds;
} HiciTextSpans;

/* Text or JSON handed out; `data` has no NUL at its end. Free with hici_text_free_bytes(). */
typedef struct {
  char* data;
  size_t size;
} HiciTextBytes;

/* Hands memory that is free back to the system. The library has an allocator of its own. */
void hici_text_release_memory(void);

void hici_text_free_string(char* text);
void hici_text_free_ids(HiciTextIds* ids);
void hici_text_free_bytes(HiciTextBytes* bytes);
void hici_text_free_spans(HiciTextSpans* spans);

/* For tests: milliseconds of processor time that one piece of work may take, whatever its size; 0: the usual bounds. */
void hici_text_set_cpu_bound(uint64_t millis);

/* The content of a tokenizer.json. Truncation and padding that it asks for are switched off: they are for batches of a
 * model's input, not for text. `num_threads` 0: as many as there are cores. `more_tokens`: empty, or JSON
 * {"added_tokens": [...], "named_tokens": [...]} of tokens (content, single_word, lstrip, rstrip, normalized, special)
 * that files beside it add; the named ones only where it has no added token of that content. `*changed` says whether
 * that made another tokenizer of it. Free with hici_tokenizer_free(). */
HiciTokenizer* hici_tokenizer_new(HiciTextView json, HiciTextView more_tokens, size_t num_threads, bool* changed,
                                  char** error);
void hici_tokenizer_free(HiciTokenizer* tokenizer);

/* Number of ids, added tokens included (what len() of a transformers tokenizer gives). */
size_t hici_tokenizer_vocab_size(const HiciTokenizer* tokenizer);
/* The largest id of any token; an id space may have holes. */
uint32_t hici_tokenizer_largest_id(const HiciTokenizer* tokenizer);
/* False when there is no such token. */
bool hici_tokenizer_token_to_id(const HiciTokenizer* tokenizer, HiciTextView token, uint32_t* id);
bool hici_tokenizer_id_to_token(const HiciTokenizer* tokenizer, uint32_t id, HiciTextBytes* token);
/* The content of a tokenizer.json that makes the same ids, in the form of the crate `tokenizers`: with the tokens that
 * were added, without the post-processor (hici_tokenizer_special_ids). */
bool hici_tokenizer_to_json(const HiciTokenizer* tokenizer, HiciTextBytes* json, char** error);

/* Encodes every text by itself, on all threads: long ones in pieces (hici_tokenizer_encode_part). */
bool hici_tokenizer_encode_batch(const HiciTokenizer* tokenizer, const HiciTextView* texts, size_t num_texts,
                                 bool add_special_tokens, HiciTextIds* ids, char** error);
/* Encodes one text on one thread, without special tokens: one "text" in `ids`, and the bytes that each id stands for.
 */
bool hici_tokenizer_encode_with_offsets(const HiciTokenizer* tokenizer, HiciTextView text, HiciTextIds* ids,
                                        HiciTextSpans* offsets, char** error);
/* The ids that add_special_tokens puts before and after a text: two "texts" in `ids`. */
bool hici_tokenizer_special_ids(const HiciTokenizer* tokenizer, HiciTextIds* ids, char** error);

/* Encodes a part of a long text, with the ids that the whole text gives, on all threads.
 * `text` starts with context that has been encoded before; ids are wanted from byte `start` on (0 at the start of a
 * text). is_last: the text ends here, everything is encoded. Otherwise the ids up to a place where the cut changes
 * nothing are handed out; go on with the text from byte *keep_from of this one, more text appended, and *next_start as
 * `start`. When no such place is found no ids are handed out, *keep_from is 0 and *next_start is `start`: call again
 * with more text. Special tokens are not added. */
bool hici_tokenizer_encode_part(const HiciTokenizer* tokenizer, HiciTextView text, size_t start, bool is_last,
                                HiciTextIds* ids, size_t* keep_from, size_t* next_start, char** error);

bool hici_tokenizer_decode(const HiciTokenizer* tokenizer, const uint32_t* ids, size_t num_ids,
                           bool skip_special_tokens, HiciTextBytes* text, char** error);

/* Decoding as ids arrive. A stream keeps its own reference to the tokenizer. Free with hici_decode_stream_free(). */
HiciDecodeStream* hici_decode_stream_new(const HiciTokenizer* tokenizer, bool skip_special_tokens, char** error);
void hici_decode_stream_free(HiciDecodeStream* stream);
/* The text that `id` completes; may be empty. Never ends inside a character. */
bool hici_decode_stream_push(HiciDecodeStream* stream, uint32_t id, HiciTextBytes* text, char** error);
/* The rest: an incomplete character comes out as U+FFFD. The stream is then as new. */
bool hici_decode_stream_finish(HiciDecodeStream* stream, HiciTextBytes* text, char** error);

/* Trains a byte-level BPE: the split rule of GPT-2, all 256 bytes as alphabet, no normalization. The result depends on
 * the texts only, not on their order among the calls nor on the number of threads. Free with hici_bpe_trainer_free().
 */
typedef struct {
  size_t vocab_size;           /* special tokens and the 256 bytes included */
  uint64_t min_frequency;      /* pairs seen less often are not merged */
  const HiciTextView* special; /* get the first ids, in this order */
  size_t num_special;
  HiciTextView bos;   /* empty, or the special token that encoding with special tokens puts in front */
  size_t num_threads; /* 0: as many as there are cores */
} HiciBpeOptions;

HiciBpeTrainer* hici_bpe_trainer_new(const HiciBpeOptions* options, char** error);
void hici_bpe_trainer_free(HiciBpeTrainer* trainer);
/* Counts the words of some texts. Each text is split at its line ends first (the line end stays with its line), as
 * `Tokenizer.train(files)` of the Python package does: words never span lines. */
bool hici_bpe_trainer_feed(HiciBpeTrainer* trainer, const HiciTextView* texts, size_t num_texts, char** error);
/* Learns the merges and hands out the content of a tokenizer.json. The trainer is spent afterwards. */
bool hici_bpe_trainer_finish(HiciBpeTrainer* trainer, HiciTextBytes* json, char** error);

/* Words of an answer, as LongBench compares them. Words are separated by one space; any thread. */
/* Lower case, without ASCII punctuation and the articles a, an, the. */
bool hici_text_english_words(HiciTextView text, HiciTextBytes* words, char** error);
/* Segmented as by hici_text_segment(), lower case, without punctuation; words that this leaves empty are left out. */
bool hici_text_chinese_words(HiciTextView text, HiciTextBytes* words, char** error);
/* Words of Chinese text as they stand there, white space included: " ".join(jieba.cut(text)) of the Python package
 * jieba 0.42.1. The first call loads the dictionary (some tenths of a second). */
bool hici_text_segment(HiciTextView text, HiciTextBytes* words, char** error);
/* The runs of decimal digits, of any script. */
bool hici_text_numbers(HiciTextView text, HiciTextBytes* numbers, char** error);
/* The least number of characters to insert and to delete that makes b of a, and the characters of both. */
bool hici_text_edit_distance(HiciTextView a, HiciTextView b, size_t* distance, size_t* num_characters, char** error);

/* Posts JSON to http:// or https:// (certificates are checked against the store of the system; the proxy variables of
 * the environment count) and waits for the answer, at most `timeout_ms`. `bearer`: a token for the Authorization
 * header, or empty. Redirects are not followed. Any status is an answer; an error is that none came. *retry_after:
 * seconds that the server asks to wait, or -1. The answer is at most 4 MiB; what is no UTF-8 in it becomes U+FFFD. */
bool hici_http_post_json(HiciTextView url, HiciTextView bearer, HiciTextView body, uint64_t timeout_ms,
                         uint32_t* status, double* retry_after, HiciTextBytes* answer, char** error);
/* A chat template of a Hugging Face model: Jinja, with what transformers adds to it (raise_exception, strftime_now,
 * tojson without HTML escapes, generation blocks, break and continue). Free with hici_chat_template_free(). */
HiciChatTemplate* hici_chat_template_new(HiciTextView source, char** error);
void hici_chat_template_free(HiciChatTemplate* chat_template);
/* True when it says by `{% generation %}` what an assistant writes. */
bool hici_chat_template_marks_generation(const HiciChatTemplate* chat_template);
/* `variables`: a JSON object with all that the template sees (messages, add_generation_prompt, tools, bos_token, ...).
 * `generation` gets the places that its generation blocks wrote. What the template raises is the error text. */
bool hici_chat_template_render(const HiciChatTemplate* chat_template, HiciTextView variables, HiciTextBytes* text,
                               HiciTextSpans* generation, char** error);

#ifdef __cplusplus
}
#endif

#endif
