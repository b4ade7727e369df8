// SPDX-License-Identifier: Apache-2.0
#include "hici/data/byte_stream.h"

#include "hici/base/error.h"
#include "hici/base/file.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include <zlib.h>
#include <zstd.h>

namespace hici::data {
namespace {

constexpr size_t kInputBytes = size_t{1} << 18;

class PlainStream : public ByteStream {
 public:
  explicit PlainStream(const std::filesystem::path& path) : file_(path) {}

  size_t read(char* out, size_t size) override {
    const auto taken = static_cast<size_t>(std::min<uint64_t>(size, file_.size() - at_));
    file_.copy(at_, out, taken);
    at_ += taken;
    return taken;
  }

  uint64_t bytes_consumed() const override { return at_; }
  bool at_end() const { return at_ == file_.size(); }
  std::string subject() const { return file_.path().string(); }

 private:
  MappedFile file_;
  uint64_t at_ = 0;
};

// The compressed bytes that a decoder has not seen yet.
class Input {
 public:
  explicit Input(const std::filesystem::path& path) : file_(path), buffer_(kInputBytes) {}

  // True when there are more bytes; `data` and `size` are then set.
  bool refill() {
    size_ = file_.read(buffer_.data(), buffer_.size());
    return size_ > 0;
  }
  char* data() { return buffer_.data(); }
  size_t size() const { return size_; }
  const PlainStream& file() const { return file_; }

 private:
  PlainStream file_;
  std::vector<char> buffer_;
  size_t size_ = 0;
};

class GzipStream : public ByteStream {
 public:
  explicit GzipStream(const std::filesystem::path& path) : input_(path) {
    constexpr int kGzipOnly = 15 + 16;
    HICI_CHECK(inflateInit2(&z_, kGzipOnly) == Z_OK, path.string(), ": cannot start zlib");
  }
  ~GzipStream() override { inflateEnd(&z_); }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  size_t read(char* out, size_t size) override {
    size = std::min<size_t>(size, std::numeric_limits<uInt>::max());
    z_.next_out = reinterpret_cast<Bytef*>(out);
    z_.avail_out = static_cast<uInt>(size);
    while (z_.avail_out == size && next_input()) inflate_some();
    return size - z_.avail_out;
  }

  uint64_t bytes_consumed() const override { return input_.file().bytes_consumed(); }

 private:
  bool next_input() {
    if (z_.avail_in > 0) return true;
    if (!input_.refill()) {
      HICI_CHECK(between_members_, input_.file().subject(),
                 ": truncated, the gzip data goes on beyond the end of the file");
      return false;
    }
    z_.next_in = reinterpret_cast<Bytef*>(input_.data());
    z_.avail_in = static_cast<uInt>(input_.size());
    return true;
  }

  // A .gz file may hold several members, one after the other.
  void inflate_some() {
    if (std::exchange(between_members_, false) && started_) inflateReset(&z_);
    started_ = true;
    const int result = inflate(&z_, Z_NO_FLUSH);
    HICI_CHECK(result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR, input_.file().subject(),
               ": is no valid gzip data near byte ", bytes_consumed() - z_.avail_in, ": ",
               z_.msg ? z_.msg : "wrong format");
    between_members_ = result == Z_STREAM_END;
  }

  Input input_;
  z_stream z_{};
  bool between_members_ = true;
  bool started_ = false;
};

class ZstdStream : public ByteStream {
 public:
  explicit ZstdStream(const std::filesystem::path& path) : input_(path), context_(ZSTD_createDCtx(), ZSTD_freeDCtx) {
    HICI_CHECK(context_, path.string(), ": cannot start zstd");
    // A frame may ask for a window of this size at most: 2 GiB is what `zstd --long=31` writes; the default refuses it.
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, 31);
  }

  size_t read(char* out, size_t size) override {
    ZSTD_outBuffer output{out, size, 0};
    while (output.pos == 0 && (may_hold_back_ || next_input())) {
      const size_t result = ZSTD_decompressStream(context_.get(), &output, &pending_);
      HICI_CHECK(!ZSTD_isError(result), input_.file().subject(), ": is no valid zstd data near byte ",
                 bytes_consumed() - (pending_.size - pending_.pos), ": ", ZSTD_getErrorName(result));
      between_frames_ = result == 0;
      may_hold_back_ = output.pos == output.size && !between_frames_;
    }
    return output.pos;
  }

  uint64_t bytes_consumed() const override { return input_.file().bytes_consumed(); }

 private:
  bool next_input() {
    if (pending_.pos < pending_.size) return true;
    if (!input_.refill()) {
      HICI_CHECK(between_frames_, input_.file().subject(),
                 ": truncated, the zstd data goes on beyond the end of the file");
      return false;
    }
    pending_ = {input_.data(), input_.size(), 0};
    return true;
  }

  Input input_;
  std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context_;
  ZSTD_inBuffer pending_{nullptr, 0, 0};
  bool between_frames_ = true;
  bool may_hold_back_ = false;  // the output was full: the decoder may have more without reading on
};

}  // namespace

bool append_from(ByteStream& stream, std::string& buffer) {
  constexpr size_t kReadBytes = size_t{1} << 20;
  const size_t before = buffer.size();
  buffer.resize(before + kReadBytes);
  const size_t got = stream.read(buffer.data() + before, kReadBytes);
  buffer.resize(before + got);
  return got > 0;
}

std::unique_ptr<ByteStream> open_byte_stream(const std::filesystem::path& path) {
  if (path.extension() == ".gz") return std::make_unique<GzipStream>(path);
  if (path.extension() == ".zst") return std::make_unique<ZstdStream>(path);
  return std::make_unique<PlainStream>(path);
}

std::string format_ending(const std::filesystem::path& path) {
  const std::string last = path.extension().string();
  return last == ".gz" || last == ".zst" ? path.stem().extension().string() : last;
}

}  // namespace hici::data
