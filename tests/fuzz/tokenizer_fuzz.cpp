// SPDX-License-Identifier: Apache-2.0
// tokenizer.json, through the Rust crate: whatever it says of a file must come back as one clean line.
#include "fuzz/plain_words.h"
#include "fuzz/targets.h"

#include "hici/text/bpe_training.h"
#include "hici/text/tokenizer.h"

namespace hici::fuzz {

void read_tokenizer(std::string_view bytes) {
  static const ScratchFolder folder;
  in_plain_words([&] {
    const text::Tokenizer tokenizer = text::Tokenizer::from_path(folder.write("tokenizer.json", bytes), 1);
    const text::Ids ids = tokenizer.encode("The quick brown fox.", true);
    tokenizer.decode(ids, false);
  });
}

// With every kind of part that changes text.
std::string tokenizer_of_many_parts() {
  return R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[{"id":0,"content":"<s>","single_word":false,)"
         R"("lstrip":false,"rstrip":true,"normalized":true,"special":true}],"normalizer":{"type":"Sequence","normalizers":[)"
         R"({"type":"NFKC"},{"type":"Prepend","prepend":"_"},{"type":"Replace","pattern":{"Regex":" {2,}|q(?=u)_?"},"content":)"
         R"("_"},{"type":"Lowercase"},{"type":"Strip","strip_left":true,"strip_right":true},{"type":"StripAccents"}]},)"
         R"("pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"[^\\s\\p{L}]?\\p{L}+|\\s+"},)"
         R"("behavior":"Isolated","invert":false},{"type":"Metaspace","replacement":"_","prepend_scheme":"first","split":true},)"
         R"({"type":"Digits","individual_digits":true}]},"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":)"
         R"({"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},)"
         R"({"Sequence":{"id":"B","type_id":1}}],"special_tokens":{"<s>":{"id":"<s>","ids":[0],"tokens":["<s>"]}}},"decoder":)"
         R"({"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"_"},"content":" "},{"type":"ByteFallback"},)"
         R"({"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},"model":{"type":"BPE","dropout":null,"unk_token":)"
         R"("<s>","continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":true,"byte_fallback":true,)"
         R"("ignore_merges":false,"vocab":{"<s>":0,"_":1,"t":2,"h":3,"e":4,"th":5,"the":6,"<0x0A>":7,"o":8,"x":9},)"
         R"("merges":[["t","h"],["th","e"]]}})";
}

std::vector<std::string> tokenizer_seeds() {
  text::BpeTraining training({.vocab_size = 270, .special_tokens = {"<s>"}, .bos_token = "<s>", .num_threads = 1});
  training.feed(std::vector<std::string>(3, "The quick brown fox jumps over the lazy dog. "));
  return {training.finish(), tokenizer_of_many_parts()};
}

}  // namespace hici::fuzz
