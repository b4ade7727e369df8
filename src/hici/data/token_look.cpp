// SPDX-License-Identifier: Apache-2.0
#include "hici/data/token_look.h"

#include "hici/text/utf8.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string_view>
#include <vector>

namespace hici::data {
namespace {

using namespace std::string_view_literals;

constexpr size_t kMinBytes = 16;                  // less says nothing
constexpr size_t kSampleBytes = size_t{1} << 16;  // looked at in one place
constexpr double kTextShare = 0.9;
constexpr size_t kMinPairs = 8;
constexpr uint16_t kMaxHighHalf = 15;  // of ids below a million

std::string sample(const MappedFile& file, uint64_t begin, uint64_t size) {
  std::string bytes(std::min<uint64_t>(size, file.size() - std::min(begin, file.size())), '\0');
  file.copy(begin, bytes.data(), bytes.size());
  return bytes;
}

// Of the beginning, the middle and the end; each at a whole number of 64-bit words.
std::vector<std::string> samples(const MappedFile& file) {
  if (file.size() <= 3 * kSampleBytes) return {sample(file, 0, 3 * kSampleBytes)};
  const auto word = [](uint64_t at) { return at / 8 * 8; };
  return {sample(file, 0, kSampleBytes), sample(file, word(file.size() / 2), kSampleBytes),
          sample(file, word(file.size() - kSampleBytes), kSampleBytes)};
}

struct Magic {
  std::string_view bytes;
  const char* what;
  const char* way_out;
  size_t offset = 0;
};

constexpr const char* kTokenizeIt =
    "'hici tokenize `tokenizer` MODEL `text_file` FILE `output` FILE.bin' makes a token file of it";
constexpr const char* kUnpack = "unpack it, and give 'hici tokenize' the text that is in it";
constexpr const char* kNameIt =
    "name it with its ending (.txt.gz, .jsonl.zst) and give it to 'hici tokenize', which makes a token file of text";
constexpr const char* kNumpyArray =
    "python3 -c 'import numpy; numpy.load(\"FILE\").ravel().astype(\"TYPE\").tofile(\"FILE.bin\")' makes a token file "
    "of ids";
constexpr const char* kTensors = "write the ids that it holds with numpy: ids.astype(\"TYPE\").tofile(\"FILE.bin\")";
constexpr const char* kText = "save its text as .txt and give that to 'hici tokenize', which makes a token file";

constexpr Magic kMagics[] = {{"PAR1", "is Parquet", kTokenizeIt},
                             {"ARROW1", "is Arrow in its file format",
                              "save it with datasets.save_to_disk and give the folder to 'hici tokenize'"},
                             {"PK\x03\x04", "is a zip archive (as .npz and PyTorch's .pt are)", kUnpack},
                             {"PK\x05\x06", "is an empty zip archive", kUnpack},
                             {"\x1f\x8b", "is gzip data", kNameIt},
                             {"\x28\xb5\x2f\xfd", "is zstd data", kNameIt},
                             {"BZh", "is bzip2 data", kUnpack},
                             {"\xfd"
                              "7zXZ",
                              "is xz data", kUnpack},
                             {"\x04\x22\x4d\x18", "is lz4 data", kUnpack},
                             {"7z\xbc\xaf\x27\x1c", "is a 7z archive", kUnpack},
                             {"Rar!\x1a", "is a RAR archive", kUnpack},
                             {"ustar", "is a tar archive", kUnpack, 257},
                             {"\x93NUMPY", "is a NumPy array", kNumpyArray},
                             {"\x89HDF", "is HDF5", kTensors},
                             {"MMIDIDX\0\0"sv, "is Megatron's index", "give the .bin beside it, with `token_type`"},
                             {"GGUF", "is weights in GGUF", "give token ids"},
                             {"SQLite format 3", "is an SQLite database", kText},
                             {"%PDF", "is PDF", kText},
                             {"\x7f"
                              "ELF",
                              "is a program", "give token ids"},
                             {"\xff\xfe", "is text in UTF-16",
                              "convert it (iconv -f UTF-16 -t UTF-8 FILE >FILE.txt) and give that to 'hici tokenize'"},
                             {"\xfe\xff", "is text in UTF-16",
                              "convert it (iconv -f UTF-16 -t UTF-8 FILE >FILE.txt) and give that to 'hici tokenize'"}};

// Two bytes are an id too: more of the file must agree.
bool is_short_magic_meant(std::string_view magic, const std::string& begin) {
  if (magic == "\x1f\x8b"sv) return begin[2] == 8 && (static_cast<unsigned char>(begin[3]) & 0xE0) == 0;
  if (magic == "BZh"sv) return begin[3] >= '1' && begin[3] <= '9' && begin.compare(4, 6, "1AY&SY") == 0;
  if (magic != "\xff\xfe"sv && magic != "\xfe\xff"sv) return true;
  const size_t high = magic == "\xff\xfe"sv ? 1 : 0;  // of UTF-16, where most writing has one byte for all letters
  std::array<size_t, 256> counts{};
  for (size_t at = 2; at + 1 < begin.size(); at += 2) ++counts[static_cast<unsigned char>(begin[at + high])];
  return *std::max_element(counts.begin(), counts.end()) > begin.size() / 4;
}

bool is_safetensors(const MappedFile& file, const std::string& begin) {
  uint64_t header = 0;
  std::memcpy(&header, begin.data(), sizeof header);
  return header < file.size() && header > 1 && begin.compare(8, 2, "{\"") == 0;
}

// Python's pickle: PROTO 2 to 5, and from 4 on a frame.
bool is_pickle(const MappedFile& file, const std::string& begin) {
  if (begin[0] != '\x80' || begin[1] < 2 || begin[1] > 5 || sample(file, file.size() - 1, 1) != ".") return false;
  return begin[1] >= 4 ? begin[2] == '\x95' : std::string_view("}](ch\x8a").find(begin[2]) != std::string_view::npos;
}

// An IPC stream: a mark, the length of the schema's message, which is a small flatbuffer.
bool is_arrow_stream(const std::string& begin) {
  uint32_t mark = 0, size = 0;
  std::memcpy(&mark, begin.data(), sizeof mark);
  std::memcpy(&size, begin.data() + 4, sizeof size);
  return mark == 0xFFFFFFFF && size > 0 && size < (1U << 24) && size % 8 == 0;
}

bool is_control(unsigned char c) { return (c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f') || c == 0x7F; }

bool is_writing(std::string_view bytes) {
  size_t controls = 0, ascii = 0;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0) return false;
    controls += is_control(byte) ? 1 : 0;
    ascii += !is_control(byte) && byte < 0x80 ? 1 : 0;
  }
  if (static_cast<double>(ascii) >= kTextShare * static_cast<double>(bytes.size())) return true;
  if (controls > 0) return false;
  // A sample may begin and end inside a character.
  while (!bytes.empty() && (static_cast<unsigned char>(bytes.front()) & 0xC0) == 0x80) bytes.remove_prefix(1);
  const text::Utf8Prefix prefix = text::valid_utf8_prefix(bytes);
  return prefix.valid_bytes == bytes.size() || prefix.is_cut;
}

bool is_text(const MappedFile& file) {
  if (file.size() < kMinBytes) return false;
  const std::vector<std::string> parts = samples(file);
  return std::all_of(parts.begin(), parts.end(), [&](const std::string& part) { return is_writing(part); });
}

std::vector<uint16_t> words(const std::string& bytes) {
  std::vector<uint16_t> out(bytes.size() / 2);
  std::memcpy(out.data(), bytes.data(), 2 * out.size());
  return out;
}

// Ids of 64 bits below a million: of four words the last two are zero and the second is nearly so.
bool is_64_bit(const MappedFile& file) {
  if (file.size() % 8 != 0 || file.size() < 8 * kMinPairs) return false;
  bool differ = false;
  for (const std::string& part : samples(file)) {
    const std::vector<uint16_t> half = words(part);
    for (size_t i = 0; i + 3 < half.size(); i += 4) {
      if (half[i + 1] > kMaxHighHalf || half[i + 2] != 0 || half[i + 3] != 0) return false;
      differ |= half[i] != half[0];
    }
  }
  return differ;
}

std::string filled_in(std::string text, const std::filesystem::path& path, int64_t vocab_size) {
  const std::string type = vocab_size > 0 ? std::string(name_of(token_type_for_vocabulary(vocab_size))) : "uint32";
  for (const auto& [name, value] : {std::pair<std::string, std::string>{"FILE", path.string()}, {"TYPE", type}}) {
    for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + value.size())) {
      text.replace(at, name.size(), value);
    }
  }
  return text;
}

double entropy(const std::array<size_t, 256>& counts, size_t total) {
  double sum = 0;
  for (const size_t count : counts) {
    if (count > 0)
      sum -= static_cast<double>(count) * std::log2(static_cast<double>(count) / static_cast<double>(total));
  }
  return sum / static_cast<double>(total);
}

}  // namespace

std::optional<FileLook> look_of_no_tokens(const MappedFile& file, int64_t vocab_size) {
  if (file.size() < kMinBytes) return std::nullopt;
  const std::string begin = sample(file, 0, 512);
  const auto look = [&](const char* what, const char* way_out) {
    return FileLook{what, filled_in(way_out, file.path(), vocab_size)};
  };
  for (const Magic& magic : kMagics) {
    const bool is_there = begin.size() >= magic.offset + magic.bytes.size() &&
                          begin.compare(magic.offset, magic.bytes.size(), magic.bytes) == 0;
    if (is_there && is_short_magic_meant(magic.bytes, begin)) return look(magic.what, magic.way_out);
  }
  if (is_safetensors(file, begin)) return look("is a safetensors file", kTensors);
  if (is_pickle(file, begin)) return look("is a Python pickle", kTensors);
  if (is_arrow_stream(begin))
    return look("is an Arrow stream",
                "give it the ending .arrow, or the folder that datasets wrote, to 'hici tokenize'");
  if (is_text(file)) return look("is text", kTokenizeIt);
  if (is_64_bit(file)) {
    return look("looks like ids of 64 bits (int64), of which token files have 16 or 32",
                "python3 -c 'import numpy; numpy.fromfile(\"FILE\", \"int64\").astype(\"TYPE\").tofile(\"FILE.TYPE\")' "
                "writes them so");
  }
  return std::nullopt;
}

bool looks_like_text(const std::filesystem::path& path) {
  std::error_code problem;
  return std::filesystem::is_regular_file(path, problem) && is_text(MappedFile(path));
}

bool looks_wider_than_uint16(const MappedFile& file) {
  if (file.size() % 4 != 0 || file.size() < 4 * kMinPairs) return false;
  bool differ = false;
  size_t small = 0, all = 0;  // of the low halves
  bool has_high_half = false;
  for (const std::string& part : samples(file)) {
    const std::vector<uint16_t> half = words(part);
    for (size_t i = 0; i + 1 < half.size(); i += 2, ++all) {
      if (half[i + 1] > kMaxHighHalf) return false;
      has_high_half |= half[i + 1] != 0;
      differ |= half[i] != half[0];
      small += half[i] <= kMaxHighHalf ? 1 : 0;
    }
  }
  // Where a high half is not zero, it must be the low halves alone that are large: else these are ids of few values.
  return differ && (!has_high_half || small < all / 4);
}

bool looks_like_uint16(const MappedFile& file) {
  std::array<size_t, 256> low{}, high{};
  size_t total = 0;
  for (const std::string& part : samples(file)) {
    for (const uint16_t word : words(part)) ++low[word & 0xFF], ++high[word >> 8], ++total;
  }
  return total > 0 && entropy(high, total) + 0.1 < entropy(low, total);
}

}  // namespace hici::data
