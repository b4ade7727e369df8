// SPDX-License-Identifier: Apache-2.0
// The parts of pickle that know nothing of torch: bytes read with bounds, values, a stack with marks, a memo. Used by
// pickle_reader only. Every bound is an hici::Error that names the byte.
#pragma once

#include "hici/base/enum_names.h"
#include "hici/base/error.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace hici::io::pickle {

enum class Kind { kNone, kBool, kInt, kFloat, kString, kTuple, kList, kDict, kGlobal, kStorage, kTensor, kObject };

// As messages say them.
constexpr EnumNames<Kind, 12> names_of(Kind) {
  return {"kind of value",
          {{{Kind::kNone, "None"},
            {Kind::kBool, "a bool"},
            {Kind::kInt, "an integer"},
            {Kind::kFloat, "a float"},
            {Kind::kString, "a string"},
            {Kind::kTuple, "a tuple"},
            {Kind::kList, "a list"},
            {Kind::kDict, "a dict"},
            {Kind::kGlobal, "a class"},
            {Kind::kStorage, "a storage"},
            {Kind::kTensor, "a tensor"},
            {Kind::kObject, "an object"}}}};
}

// Values live in one arena and name each other by index: nothing is recursive, not even freeing.
using Ref = uint32_t;

struct Value {
  Kind kind = Kind::kNone;
  int64_t number = 0;           // kInt, kBool; kGlobal, kStorage, kTensor: an index that the user of the stack gave
  std::string text = {};        // kString; kGlobal of a foreign class and kObject: the name of the class
  std::vector<Ref> items = {};  // kTuple, kList; kDict: key, value, key, value; kObject: what it was made from
};

// The pickle and how far it is read.
class Bytes {
 public:
  Bytes(std::string_view pickle, const std::string& subject) : data_(pickle), subject_(subject) {}

  template <typename... Parts>
  void check(bool holds, const Parts&... parts) const {
    HICI_CHECK(holds, subject_, ": pickle ", parts..., " at byte ", at_, "; the file is damaged or no state dict");
  }

  std::string_view take(uint64_t count);
  uint64_t take_unsigned(size_t num_bytes);  // little-endian
  int64_t take_signed(size_t num_bytes);     // two's complement, little-endian, at most 8 bytes
  std::string take_line();                   // without its '\n'; at most 1024 bytes
  bool at_end() const { return at_ == data_.size(); }
  const std::string& subject() const { return subject_; }

 private:
  std::string_view data_;
  const std::string& subject_;
  size_t at_ = 0;
};

class Stack {
 public:
  explicit Stack(const Bytes& bytes) : bytes_(bytes) {}

  // Stays valid while the stack lives.
  const Value& operator[](Ref ref) const { return values_[ref]; }
  const Value& pop_value() { return values_[pop()]; }

  void push(Value value);
  Ref pop();
  Ref top() const;
  void mark();
  std::vector<Ref> pop_to_mark();
  void push_tuple(size_t count);
  void push_again(Ref ref) { push_ref(ref); }
  // Appends to the container on top: a list takes items, a dict keys and values in turn. An object drops them.
  void extend(Kind kind, const std::vector<Ref>& items);

  // To the items of the object on top.
  void add_to_object(Ref item);

  void remember(uint64_t index);
  void remember_next() { remember(memo_.size()); }
  void recall(uint64_t index);

  // The one value that is left at the end.
  Ref result() const;

 private:
  void count_items(size_t count);
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  void push_ref(Ref ref);

  const Bytes& bytes_;
  std::deque<Value> values_;
  std::vector<Ref> stack_;
  std::vector<size_t> marks_;  // stack sizes
  std::map<uint64_t, Ref> memo_;
  size_t total_items_ = 0;
};

}  // namespace hici::io::pickle
