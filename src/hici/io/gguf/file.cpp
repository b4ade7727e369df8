// SPDX-License-Identifier: Apache-2.0
#include "hici/io/gguf/file.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/io/tensor_source.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <string_view>
#include <type_traits>

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

namespace hici::io::gguf {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr uint32_t kVersion = 3;
constexpr double kMostInQ8 = 65504.0 * 127;           // its scale is a float16
constexpr int64_t kPieceElements = int64_t{1} << 20;  // encoded at a time

// The format's numbers of types of metadata.
enum class ValueType : uint32_t { kUint32 = 4, kInt32 = 5, kFloat32 = 6, kBool = 7, kString = 8, kArray = 9 };

template <typename T>
constexpr ValueType type_of() {
  if constexpr (std::is_same_v<T, uint32_t>) return ValueType::kUint32;
  if constexpr (std::is_same_v<T, int32_t>) return ValueType::kInt32;
  if constexpr (std::is_same_v<T, float>) return ValueType::kFloat32;
  if constexpr (std::is_same_v<T, bool>) return ValueType::kBool;
  if constexpr (std::is_same_v<T, std::string>) return ValueType::kString;
}

class Writer {
 public:
  template <typename T>
  void number(T value) {
    static_assert(std::is_arithmetic_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(std::string_view value) {
    number(uint64_t{value.size()});
    bytes_.append(value);
  }
  void bytes(std::string_view value) { bytes_.append(value); }
  void value(const Value& value) {
    std::visit([this](const auto& held) { typed(held); }, value);
  }
  void pad() { bytes_.append((kAlignment - bytes_.size() % kAlignment) % kAlignment, '\0'); }
  std::string take() { return std::move(bytes_); }

 private:
  void item(const std::string& value) { text(value); }
  void item(bool value) { number(static_cast<uint8_t>(value)); }
  template <typename T>
  void item(T value) {
    number(value);
  }
  template <typename T>
  void typed(const T& value) {
    number(static_cast<uint32_t>(type_of<T>()));
    item(value);
  }
  template <typename T>
  void typed(const std::vector<T>& values) {
    number(static_cast<uint32_t>(ValueType::kArray));
    number(static_cast<uint32_t>(type_of<T>()));
    number(uint64_t{values.size()});
    for (const T& value : values) item(value);
  }

  std::string bytes_;
};

uint64_t padded(uint64_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

// All that precedes the data.
std::string header_bytes(const Metadata& metadata, const std::vector<TensorToWrite>& tensors) {
  Writer out;
  out.bytes(kMagic);
  out.number(kVersion);
  out.number(uint64_t{tensors.size()});
  out.number(uint64_t{metadata.size()});
  for (const auto& [key, value] : metadata) {
    out.text(key);
    out.value(value);
  }
  uint64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    out.text(tensor.name);
    out.number(static_cast<uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size)
      out.number(static_cast<uint64_t>(*size));
    out.number(static_cast<uint32_t>(tensor.type));
    out.number(offset);
    offset += padded(num_bytes(tensor.type, tensor.shape));
  }
  out.pad();
  return out.take();
}

void check_writable(const fs::path& path, const std::vector<TensorToWrite>& tensors) {
  std::set<std::string> seen;
  for (const TensorToWrite& tensor : tensors) {
    const std::string subject = path.string() + ": tensor '" + printable(tensor.name) + "'";
    HICI_CHECK(seen.insert(tensor.name).second, subject, " is written twice");
    HICI_CHECK(!tensor.name.empty() && tensor.name.size() <= kMaxNameLength, subject, " has a name of ",
               tensor.name.size(), " bytes, expected 1 to ", kMaxNameLength);
    const bool is_empty = std::count(tensor.shape.begin(), tensor.shape.end(), 0) > 0;
    HICI_CHECK(!tensor.shape.empty() && tensor.shape.size() <= 4 && !is_empty, subject, " has shape ",
               shown_shape(tensor.shape), ", expected 1 to 4 sizes above 0");
    check_rows(tensor.type, tensor.shape, subject);
  }
}

void write_tensor(AtomicFile& file, const TensorToWrite& tensor, const fs::path& path) {
  const at::Tensor loaded = tensor.load();
  HICI_CHECK(loaded.sizes() == at::IntArrayRef(tensor.shape), path.string(), ": tensor '", printable(tensor.name),
             "' is ", shown_shape(loaded.sizes().vec()), ", promised was ", shown_shape(tensor.shape));
  const at::Tensor rows = loaded.reshape({-1, loaded.size(-1)});
  const int64_t step = std::max<int64_t>(1, kPieceElements / rows.size(1));
  uint64_t written = 0;
  for (int64_t row = 0; row < rows.size(0); row += step) {
    const at::Tensor some = rows.narrow(0, row, std::min(step, rows.size(0) - row));
    HICI_CHECK(tensor.type != TensorType::kQ8_0 || some.abs().max().item<double>() <= kMostInQ8, path.string(),
               ": tensor '", printable(tensor.name), "' has values above ", kMostInQ8,
               ", which Q8_0 cannot hold; use `gguf_type` BF16");
    const std::vector<std::byte> piece = encode(tensor.type, some);
    file.write(piece.data(), piece.size());
    written += piece.size();
  }
  const std::string padding(padded(written) - written, '\0');
  file.write(padding);
}

// Reads what precedes the data, as far as a damaged file allows.
class Reader {
 public:
  explicit Reader(const MappedFile& file) : file_(file) {}

  template <typename T>
  T number() {
    T out{};
    copy(&out, sizeof out);
    return out;
  }
  std::string text() {
    std::string out(count(1), '\0');
    copy(out.data(), out.size());
    return out;
  }
  // A number of things that take at least `size` bytes each.
  uint64_t count(uint64_t size) {
    const auto out = number<uint64_t>();
    check(out <= (file_.size() - at_) / size, "the file ends early");
    return out;
  }
  Value value() {
    const auto type = number<ValueType>();
    return type == ValueType::kArray ? array() : single(type);
  }
  void check(bool is_right, const char* what) const {
    HICI_CHECK(is_right, file_.path().string(), ": is no GGUF file as hici writes it: ", what, " (byte ", at_, ")");
  }
  uint64_t at() const { return at_; }

 private:
  void copy(void* out, size_t size) {
    check(size <= file_.size() - at_, "the file ends early");
    file_.copy(at_, out, size);
    at_ += size;
  }
  template <typename T>
  T item() {
    if constexpr (std::is_same_v<T, std::string>)
      return text();
    else if constexpr (std::is_same_v<T, bool>)
      return number<uint8_t>() != 0;
    else
      return number<T>();
  }
  template <typename T>
  std::vector<T> items() {
    std::vector<T> out(count(4));
    for (T& each : out) each = item<T>();
    return out;
  }
  Value array() {
    switch (number<ValueType>()) {
      case ValueType::kString:
        return items<std::string>();
      case ValueType::kFloat32:
        return items<float>();
      case ValueType::kInt32:
        return items<int32_t>();
      default:
        check(false, "an array of another type");
        return {};
    }
  }
  Value single(ValueType type) {
    switch (type) {
      case ValueType::kUint32:
        return item<uint32_t>();
      case ValueType::kInt32:
        return item<int32_t>();
      case ValueType::kFloat32:
        return item<float>();
      case ValueType::kBool:
        return item<bool>();
      case ValueType::kString:
        return item<std::string>();
      default:
        check(false, "a value of another type");
        return {};
    }
  }

  const MappedFile& file_;
  uint64_t at_ = 0;
};

StoredTensor read_description(Reader& reader) {
  StoredTensor out{};
  const auto rank = reader.number<uint32_t>();
  reader.check(rank >= 1 && rank <= 4, "a tensor's rank");
  for (uint32_t i = 0; i < rank; ++i) {
    const auto size = reader.number<uint64_t>();
    reader.check(size > 0 && size <= uint64_t{1} << 40, "a tensor's size");
    out.shape.insert(out.shape.begin(), static_cast<int64_t>(size));
  }
  out.type = reader.number<TensorType>();
  const auto types = names_of(TensorType{}).all;
  reader.check(std::any_of(types.begin(), types.end(), [&](const auto& each) { return each.value == out.type; }),
               "a tensor's type");
  reader.check(out.type != TensorType::kQ8_0 || out.shape.back() % kQ8Block == 0, "a row without whole blocks");
  out.offset = reader.number<uint64_t>();
  return out;
}

}  // namespace

void write_file(const fs::path& path, const Metadata& metadata, const std::vector<TensorToWrite>& tensors) {
  check_writable(path, tensors);
  AtomicFile file(path);
  file.write(header_bytes(metadata, tensors));
  for (const TensorToWrite& tensor : tensors) write_tensor(file, tensor, path);
  file.commit();
}

uint64_t file_bytes(const Metadata& metadata, const std::vector<TensorToWrite>& tensors) {
  uint64_t total = header_bytes(metadata, tensors).size();
  for (const TensorToWrite& tensor : tensors) total += padded(num_bytes(tensor.type, tensor.shape));
  return total;
}

File::File(const fs::path& path) : file_(path) {
  Reader reader(file_);
  reader.check(reader.number<uint32_t>() == 0x46554747 && reader.number<uint32_t>() == kVersion, "magic and version");
  const uint64_t num_tensors = reader.count(1), num_values = reader.count(1);
  for (uint64_t i = 0; i < num_values; ++i) {
    std::string key = reader.text();
    metadata_.emplace_back(std::move(key), reader.value());
  }
  for (uint64_t i = 0; i < num_tensors; ++i) {
    std::string name = reader.text();
    tensors_.emplace_back(std::move(name), read_description(reader));
  }
  const uint64_t data_start = padded(reader.at());
  for (auto& [name, tensor] : tensors_) {
    const uint64_t begin = data_start + tensor.offset, size = num_bytes(tensor.type, tensor.shape);
    reader.check(begin % kAlignment == 0 && begin <= file_.size() && size <= file_.size() - begin, "a tensor's place");
    tensor.offset = begin;
  }
}

at::Tensor File::read(const StoredTensor& tensor) const {
  std::vector<std::byte> bytes(num_bytes(tensor.type, tensor.shape));
  file_.copy(tensor.offset, bytes.data(), bytes.size());
  return decode(tensor.type, bytes.data(), tensor.shape);
}

}  // namespace hici::io::gguf
