// SPDX-License-Identifier: Apache-2.0
// Stands in for tokenizer.cpp, bpe_training.cpp and chat_template.cpp where the Rust crate is not built.
#include "hici/base/error.h"
#include "hici/text/bpe_training.h"
#include "hici/text/chat_template.h"
#include "hici/text/tokenizer.h"

namespace hici::text {
namespace {

[[noreturn]] void no_text_support(const std::string& subject) {
  fail(
      subject,
      ": this hici was built without text support (HICI_TEXT=OFF); install Rust (cargo), configure with -DHICI_TEXT=ON "
      "and build again");
}

constexpr const char* kNoObject = "no tokenizer can exist without text support";

}  // namespace

struct Tokenizer::Impl {};
struct StreamingDecoder::Impl {};
struct BpeTraining::Impl {};
struct ChatTemplate::Impl {};

bool has_text_support() { return false; }

Tokenizer Tokenizer::from_file(const std::filesystem::path& tokenizer_json, int, Links) {
  no_text_support(tokenizer_json.string());
}
Tokenizer Tokenizer::from_path(const std::filesystem::path& folder_or_file, int) {
  no_text_support(folder_or_file.string());
}
ChatTemplate ChatTemplate::from_source(const std::string&, const std::string&, const NamedSpecialTokens&) {
  no_text_support("chat template");
}
BpeTraining::BpeTraining(const BpeTrainingOptions&) { no_text_support("training a tokenizer"); }

// Nobody holds an object to call these with.
std::vector<Ids> Tokenizer::encode_batch(std::span<const std::string>, bool) const { fail(kNoObject); }
Ids Tokenizer::encode(const std::string&, bool) const { fail(kNoObject); }
Encoding Tokenizer::encode_with_offsets(const std::string&) const { fail(kNoObject); }
const Ids& Tokenizer::special_ids_before() const { fail(kNoObject); }
const Ids& Tokenizer::special_ids_after() const { fail(kNoObject); }
std::string Tokenizer::decode(std::span<const uint32_t>, bool) const { fail(kNoObject); }
int64_t Tokenizer::vocab_size() const { fail(kNoObject); }
std::optional<uint32_t> Tokenizer::token_to_id(std::string_view) const { fail(kNoObject); }
std::optional<std::string> Tokenizer::id_to_token(uint32_t) const { fail(kNoObject); }
std::optional<uint32_t> Tokenizer::bos_id() const { fail(kNoObject); }
std::optional<uint32_t> Tokenizer::eos_id() const { fail(kNoObject); }
nlohmann::json Tokenizer::to_json() const { fail(kNoObject); }
std::optional<std::string> Tokenizer::special_token(const std::string&) const { fail(kNoObject); }
const std::filesystem::path& Tokenizer::path() const { fail(kNoObject); }
const std::string& Tokenizer::sha256() const { fail(kNoObject); }
StreamingDecoder::StreamingDecoder(const Tokenizer&, bool) { fail(kNoObject); }
std::string StreamingDecoder::push(uint32_t) { fail(kNoObject); }
std::string StreamingDecoder::finish() { fail(kNoObject); }
LongTextEncoder::LongTextEncoder(Tokenizer tokenizer, size_t window_bytes)
    : tokenizer_(std::move(tokenizer)), window_bytes_(window_bytes), wanted_bytes_(window_bytes) {
  fail(kNoObject);
}
void LongTextEncoder::append(std::string_view, Ids&) { fail(kNoObject); }
void LongTextEncoder::finish(Ids&) { fail(kNoObject); }
void BpeTraining::feed(std::span<const std::string>) { fail(kNoObject); }
std::string BpeTraining::finish() { fail(kNoObject); }
std::string ChatTemplate::render(const ChatMessages&, const ChatRequest&) const { fail(kNoObject); }
RenderedChat ChatTemplate::render_marked(const ChatMessages&, const ChatRequest&) const { fail(kNoObject); }
bool ChatTemplate::marks_generation() const { fail(kNoObject); }

}  // namespace hici::text
