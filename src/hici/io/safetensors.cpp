// SPDX-License-Identifier: Apache-2.0
#include "hici/io/safetensors.h"

#include "hici/base/error.h"
#include "hici/base/json.h"

#include <ATen/Functions.h>
#include <c10/core/ScalarType.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <tuple>

static_assert(std::endian::native == std::endian::little,
              "safetensors data is little-endian and is read as it lies in the file");

namespace hici::io {
namespace {

using nlohmann::json;

constexpr int kMaxHeaderDepth = 8;
constexpr int64_t kChunkElements = int64_t{1} << 18;  // converted at a time
constexpr size_t kCopyBytes = size_t{1} << 17;        // copied at a time, and hashed while they are in the cache

constexpr std::pair<const char*, at::ScalarType> kDtypes[] = {{"F64", at::kDouble},
                                                              {"F32", at::kFloat},
                                                              {"F16", at::kHalf},
                                                              {"BF16", at::kBFloat16},
                                                              {"I64", at::kLong},
                                                              {"I32", at::kInt},
                                                              {"I16", at::kShort},
                                                              {"I8", at::kChar},
                                                              {"U8", at::kByte},
                                                              {"BOOL", at::kBool},
                                                              {"F8_E4M3", at::ScalarType::Float8_e4m3fn},
                                                              {"F8_E5M2", at::ScalarType::Float8_e5m2}};

struct Span {
  uint64_t begin;
  uint64_t end;
  const std::string* name;
};

std::string tensor_in(const std::string& subject, const std::string& name) {
  return subject + ": tensor '" + printable(name) + "'";
}

std::vector<int64_t> parse_shape(const JsonObject& entry, const std::string& subject) {
  const json& value = entry.at("shape");
  HICI_CHECK(value.is_array() && value.size() <= kMaxRank, subject, ": shape is ", shown_json(value),
             ", expected a list of at most ", kMaxRank, " sizes");
  std::vector<int64_t> shape;
  for (const json& size : value) {
    HICI_CHECK(size.is_number_unsigned() && size.get<uint64_t>() <= uint64_t{1} << 62, subject, ": shape holds ",
               shown_json(size), ", expected sizes of 0 or more");
    shape.push_back(size.get<int64_t>());
  }
  return shape;
}

// Shape times element size, or nothing when that leaves 64 bits. Sizes of 0 count as 1 on the way: strides are products
// of the other sizes even where the tensor is empty.
std::optional<uint64_t> checked_bytes(const TensorInfo& info) {
  uint64_t bytes = c10::elementSize(info.dtype);
  bool is_empty = false;
  for (const int64_t size : info.shape) {
    is_empty = is_empty || size == 0;
    const uint64_t factor = std::max<uint64_t>(1, static_cast<uint64_t>(size));
    if (__builtin_mul_overflow(bytes, factor, &bytes) || bytes > uint64_t{1} << 62) return std::nullopt;
  }
  return is_empty ? 0 : bytes;
}

Span parse_span(const JsonObject& entry, const std::string& subject, uint64_t data_bytes) {
  const json& offsets = entry.at("data_offsets");
  const bool well_formed =
      offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned() && offsets[1].is_number_unsigned();
  HICI_CHECK(well_formed, subject, ": data_offsets is ", shown_json(offsets), ", expected [begin, end]");
  const Span span{offsets[0].get<uint64_t>(), offsets[1].get<uint64_t>(), nullptr};
  HICI_CHECK(span.begin <= span.end, subject, ": data_offsets [", span.begin, ", ", span.end,
             "] run backwards; the file is damaged");
  HICI_CHECK(span.end <= data_bytes, subject, ": truncated, header promises data up to byte ", span.end, ", file has ",
             data_bytes);
  return span;
}

std::pair<TensorInfo, Span> parse_entry(const json& value, const std::string& subject, uint64_t data_bytes) {
  const JsonObject entry(value, subject);
  const std::string dtype_name = entry.string("dtype");
  const std::optional<at::ScalarType> dtype = safetensors_dtype(dtype_name);
  HICI_CHECK(dtype, subject, ": type '", printable(dtype_name),
             "' is not supported; supported: F64, F32, F16, BF16, F8_E4M3, F8_E5M2, I64, I32, I16, I8, U8, BOOL");
  TensorInfo info{*dtype, parse_shape(entry, subject)};
  const Span span = parse_span(entry, subject, data_bytes);
  const std::optional<uint64_t> bytes = checked_bytes(info);
  HICI_CHECK(bytes && *bytes == span.end - span.begin, subject, ": shape ", shown_shape(info.shape), " of ", dtype_name,
             " does not fill its ", span.end - span.begin, " bytes; the file is damaged");
  return {std::move(info), span};
}

// Every byte of the data belongs to exactly one tensor.
void check_layout(std::vector<Span> spans, uint64_t data_bytes, const std::string& subject) {
  std::sort(spans.begin(), spans.end(),
            [](const Span& a, const Span& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
  uint64_t at = 0;
  for (const Span& span : spans) {
    HICI_CHECK(span.begin == at, tensor_in(subject, *span.name), " starts at byte ", span.begin,
               " of the data, expected ", at, " (", span.begin < at ? "overlap" : "hole", "); the file is damaged");
    at = span.end;
  }
  HICI_CHECK(at == data_bytes, subject, ": tensors end at byte ", at, " of the data, file has ", data_bytes,
             "; the file is damaged");
}

std::map<std::string, std::string> parse_metadata(const json& value, const std::string& subject) {
  const JsonObject object(value, subject + ": __metadata__");
  std::map<std::string, std::string> out;
  for (const auto& [key, item] : value.items()) {
    HICI_CHECK(item.is_string(), object.subject(), ": '", printable(key), "' is ", shown_json(item),
               ", expected a string");
    out.emplace(key, item.get<std::string>());
  }
  return out;
}

// Copies [offset, offset + num_bytes) to `out` and adds the bytes that are there then to `hash`.
void copy_and_hash(const MappedFile& file, uint64_t offset, void* out, size_t num_bytes, ContentHash& hash) {
  for (size_t done = 0; done < num_bytes; done += kCopyBytes) {
    char* to = static_cast<char*>(out) + done;
    const size_t size = std::min(kCopyBytes, num_bytes - done);
    file.copy(offset + done, to, size);
    hash.update(to, size);
  }
}

// A bool is 0 or 1; any other byte in a file would be undefined behaviour in whatever reads the tensor.
at::Tensor raw_buffer(at::IntArrayRef shape, at::ScalarType dtype) {
  return at::empty(shape, at::TensorOptions(dtype == at::kBool ? at::kByte : dtype));
}

at::Tensor usable(at::Tensor raw, at::ScalarType dtype) { return dtype == at::kBool ? raw.ne(0) : raw; }

json header_json(const std::vector<TensorToWrite>& tensors, const std::map<std::string, std::string>& metadata) {
  json header = {{"__metadata__", metadata}};
  header["__metadata__"]["format"] = "pt";
  uint64_t at = 0;
  for (const TensorToWrite& tensor : tensors) {
    const uint64_t end = at + tensor.num_bytes();
    header[tensor.name] = {{"dtype", shown_dtype(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {at, end}}};
    at = end;
  }
  return header;
}

std::string header_bytes(const std::vector<TensorToWrite>& tensors,
                         const std::map<std::string, std::string>& metadata) {
  std::string text = header_json(tensors, metadata).dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // data starts aligned
  return text;
}

void check_writable(const fs::path& path, const std::vector<TensorToWrite>& tensors) {
  std::map<std::string, bool> seen;
  for (const TensorToWrite& tensor : tensors) {
    const std::string subject = tensor_in(path.string(), tensor.name);
    HICI_CHECK(tensor.name != "__metadata__" && seen.emplace(tensor.name, true).second, subject, " is written twice");
    HICI_CHECK(tensor.num_bytes() > 0, subject, " is empty, shape ", shown_shape(tensor.shape),
               "; was it gathered from all ranks?");
    HICI_CHECK(safetensors_dtype(shown_dtype(tensor.dtype)), subject, " has type ", shown_dtype(tensor.dtype),
               ", which the format does not have");
  }
}

void write_tensor(AtomicFile& file, const TensorToWrite& tensor, const fs::path& path) {
  if (tensor.load_pieces) {
    uint64_t written = 0;
    tensor.load_pieces([&](const void* bytes, size_t num_bytes) {
      file.write(bytes, num_bytes);
      written += num_bytes;
    });
    HICI_ASSERT(written == tensor.num_bytes(), tensor.name, ": ", written, " bytes of ", tensor.num_bytes());
    return;
  }
  const at::Tensor loaded = tensor.load();
  HICI_CHECK(loaded.sizes() == at::IntArrayRef(tensor.shape), tensor_in(path.string(), tensor.name), " is ",
             shown_shape(loaded.sizes().vec()), ", promised was ", shown_shape(tensor.shape));
  const at::Tensor data = loaded.detach().to(at::kCPU, tensor.dtype).contiguous();
  file.write(data.const_data_ptr(), tensor.num_bytes());
}

// In the order of falling element size every tensor lies aligned for its type: torch's own reader needs that.
void sort_by_element_size(std::vector<TensorToWrite>& tensors) {
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const auto& a, const auto& b) { return c10::elementSize(a.dtype) > c10::elementSize(b.dtype); });
}

std::vector<std::vector<TensorToWrite>> split_into_shards(std::vector<TensorToWrite> tensors,
                                                          uint64_t max_shard_bytes) {
  std::vector<std::vector<TensorToWrite>> shards;
  uint64_t filled = 0;
  for (TensorToWrite& tensor : tensors) {
    if (shards.empty() || filled + tensor.num_bytes() > max_shard_bytes) {
      shards.emplace_back();
      filled = 0;
    }
    filled += tensor.num_bytes();
    shards.back().push_back(std::move(tensor));
  }
  return shards;
}

std::string shard_name(size_t index, size_t count) {
  const auto padded = [](size_t n) {
    const std::string digits = std::to_string(n);
    return std::string(5 - std::min<size_t>(5, digits.size()), '0') + digits;
  };
  return "model-" + padded(index + 1) + "-of-" + padded(count) + ".safetensors";
}

}  // namespace

std::optional<at::ScalarType> safetensors_dtype(std::string_view name) {
  for (const auto& [known, dtype] : kDtypes)
    if (name == known) return dtype;
  return std::nullopt;
}

SafetensorsHeader parse_safetensors_header(std::string_view header, uint64_t data_start, uint64_t file_size,
                                           const std::string& subject) {
  HICI_CHECK(!header.empty() && header.front() == '{', subject,
             ": header does not start with '{'; is it a safetensors file?");
  const json root = parse_json(header, subject, kMaxSafetensorsHeader, kMaxHeaderDepth);
  HICI_CHECK(root.is_object() && root.size() <= kMaxTensors, subject, ": header holds ", root.size(),
             " entries, more than the ", kMaxTensors, " allowed");
  SafetensorsHeader out;
  out.data_start = data_start;
  std::vector<Span> spans;
  for (const auto& [name, value] : root.items()) {
    if (name == "__metadata__") {
      out.metadata = parse_metadata(value, subject);
      continue;
    }
    HICI_CHECK(!name.empty() && name.size() <= kMaxTensorNameLength, subject, ": tensor name of ", name.size(),
               " bytes, expected 1 to ", kMaxTensorNameLength);
    auto [info, span] = parse_entry(value, tensor_in(subject, name), file_size - data_start);
    const auto place = out.tensors.emplace(name, std::move(info)).first;
    out.offsets.emplace(name, data_start + span.begin);
    spans.push_back({span.begin, span.end, &place->first});
  }
  check_layout(std::move(spans), file_size - data_start, subject);
  return out;
}

SafetensorsHeader read_safetensors_header(const MappedFile& file) {
  const std::string subject = file.path().string();
  HICI_CHECK(file.size() >= 8, subject, ": ", file.size(), " bytes, too short for a safetensors file");
  uint64_t length = 0;
  file.copy(0, &length, sizeof length);
  HICI_CHECK(length <= kMaxSafetensorsHeader, subject, ": header of ", length, " bytes, more than the ",
             kMaxSafetensorsHeader, " allowed; is it a safetensors file?");
  HICI_CHECK(length <= file.size() - 8, subject, ": truncated, header promises ", length, " bytes, file has ",
             file.size() - 8);
  std::string header(length, '\0');
  file.copy(8, header.data(), header.size());
  return parse_safetensors_header(header, 8 + length, file.size(), subject);
}

SafetensorsFile::SafetensorsFile(const fs::path& path) : SafetensorsFile(path, Links::kAny) {}

SafetensorsFile::SafetensorsFile(const fs::path& path, Links links, std::optional<SafetensorsHashes> expected)
    : file_(path, links), header_(read_safetensors_header(file_)), expected_(std::move(expected)) {
  if (expected_) check_header();
}

void SafetensorsFile::check_header() const {
  std::string bytes(header_.data_start, '\0');
  file_.copy(0, bytes.data(), bytes.size());
  ContentHash hash;
  hash.update(bytes.data(), bytes.size());
  HICI_CHECK(hash.hex_digest() == expected_->header, file_.path().string(),
             ": its header is not what manifest.json says of it", kNotAsListed);
}

void SafetensorsFile::note_content(const std::string& name, const ContentHash& hash) const {
  if (expected_) {
    const auto wanted = expected_->tensors.find(name);
    HICI_CHECK(wanted != expected_->tensors.end() && wanted->second == hash.hex_digest(),
               tensor_in(file_.path().string(), name), " is not what manifest.json says of it", kNotAsListed);
  }
  contents_[name] = content_text(info(name), hash);
}

std::string SafetensorsFile::content_of(const std::string& name) const {
  const auto found = contents_.find(name);
  return found == contents_.end() ? "" : found->second;
}

std::span<const std::byte> SafetensorsFile::bytes_of(const std::string& name) const {
  const uint64_t num_bytes = info(name).num_bytes();
  return file_.bytes().subspan(header_.offsets.at(name), num_bytes);
}

at::Tensor SafetensorsFile::read(const std::string& name, at::ScalarType dtype, at::Device device) const {
  const TensorInfo& entry = info(name);
  const uint64_t offset = header_.offsets.at(name);
  file_.check_unchanged();
  ContentHash hash;
  if (entry.dtype == dtype) {
    at::Tensor raw = raw_buffer(entry.shape, dtype);
    copy_and_hash(file_, offset, raw.mutable_data_ptr(), entry.num_bytes(), hash);
    note_content(name, hash);
    return usable(std::move(raw), dtype).to(device);
  }
  at::Tensor out = at::empty(entry.shape, at::TensorOptions(dtype));
  const at::Tensor flat = out.view({-1});
  const int64_t count = entry.num_elements();
  for (int64_t at = 0; at < count; at += kChunkElements) {
    const int64_t length = std::min(kChunkElements, count - at);
    at::Tensor raw = raw_buffer({length}, entry.dtype);
    copy_and_hash(file_, offset + static_cast<uint64_t>(at) * c10::elementSize(entry.dtype), raw.mutable_data_ptr(),
                  raw.nbytes(), hash);
    flat.narrow(0, at, length).copy_(usable(std::move(raw), entry.dtype));
  }
  note_content(name, hash);
  return out.to(device);
}

TensorToWrite::TensorToWrite(std::string tensor_name, const at::Tensor& tensor)
    : name(std::move(tensor_name)),
      dtype(tensor.scalar_type()),
      shape(tensor.sizes().vec()),
      load([tensor] { return tensor; }) {}

TensorToWrite::TensorToWrite(std::string tensor_name, at::ScalarType type, std::vector<int64_t> size,
                             std::function<at::Tensor()> loader)
    : name(std::move(tensor_name)), dtype(type), shape(std::move(size)), load(std::move(loader)) {}

uint64_t TensorToWrite::num_bytes() const { return TensorInfo{dtype, shape}.num_bytes(); }

void write_safetensors(const fs::path& path, std::vector<TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata) {
  check_writable(path, tensors);
  sort_by_element_size(tensors);
  const std::string header = header_bytes(tensors, metadata);
  const auto length = static_cast<uint64_t>(header.size());
  AtomicFile file(path);
  file.write(&length, sizeof length);
  file.write(header);
  for (const TensorToWrite& tensor : tensors) write_tensor(file, tensor, path);
  file.commit();
}

void write_safetensors_model(const fs::path& dir, std::vector<TensorToWrite> tensors, uint64_t max_shard_bytes) {
  uint64_t total_bytes = 0;
  for (const TensorToWrite& tensor : tensors) total_bytes += tensor.num_bytes();
  auto shards = split_into_shards(std::move(tensors), max_shard_bytes);
  if (shards.size() <= 1)
    return write_safetensors(dir / "model.safetensors",
                             shards.empty() ? std::vector<TensorToWrite>{} : std::move(shards.front()));
  json index = {{"metadata", {{"total_size", total_bytes}}}, {"weight_map", json::object()}};
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shard_name(i, shards.size());
    for (const TensorToWrite& tensor : shards[i]) index["weight_map"][tensor.name] = name;
    write_safetensors(dir / name, std::move(shards[i]));
  }
  write_file_atomically(dir / "model.safetensors.index.json", index.dump(2) + "\n");
}

uint64_t safetensors_bytes(const std::vector<TensorToWrite>& tensors) {
  uint64_t total = 8 + header_bytes(tensors, {}).size();
  for (const TensorToWrite& tensor : tensors) total += tensor.num_bytes();
  return total;
}

}  // namespace hici::io
