// SPDX-License-Identifier: Apache-2.0
// A token file and its sidecar. Input: the sidecar (empty: there is none), a zero byte, the tokens.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/base/file.h"
#include "hici/data/token_file.h"

#include <algorithm>

namespace hici::fuzz {
namespace {

constexpr int64_t kVocabSize = 1000;

std::string input_of(std::string_view sidecar, std::string_view tokens) {
  return std::string(sidecar).append(1, '\0').append(tokens);
}

std::string tokens_of(data::TokenType type, bool with_sidecar) {
  const ScratchFolder folder;
  const std::filesystem::path path = folder.path() / "x.bin";
  data::TokenFileWriter writer(path, type);
  writer.write(std::vector<uint32_t>{1, 2, 3, 999, 0});
  data::TokenFileInfo info;
  info.vocab_size = kVocabSize;
  info.num_documents = 2;
  info.sources = {"a.txt"};
  writer.commit(info);
  const std::string sidecar = with_sidecar ? read_file(data::sidecar_path(path), size_t{1} << 15) : "";
  return input_of(sidecar, read_file(path, size_t{1} << 20));
}

}  // namespace

void read_token_file(std::string_view bytes) {
  static const ScratchFolder folder;
  const size_t length = std::min(bytes.find('\0'), bytes.size());
  const std::filesystem::path path = folder.write("x.bin", bytes.substr(std::min(length + 1, bytes.size())));
  const std::filesystem::path sidecar = folder.write("x.bin.json", bytes.substr(0, length));
  if (length == 0) std::filesystem::remove(sidecar);
  const data::TokenFile file = data::TokenFile::open(path, {.vocab_size = kVocabSize});
  for (const int64_t id : file.read(0, file.size())) require(id < kVocabSize, "an id beyond the vocabulary");
  require(file.sha256().size() == 64, "a hash of another length");
}

std::vector<std::string> token_file_seeds() {
  return {tokens_of(data::TokenType::kUint16, true), tokens_of(data::TokenType::kUint32, true),
          tokens_of(data::TokenType::kUint16, false)};
}

}  // namespace hici::fuzz
