// SPDX-License-Identifier: Apache-2.0
#include "hici/io/torch/pickle_vm.h"

namespace hici::io::pickle {
namespace {

// A tensor takes about 17 values, so that this is more than 100,000 of them.
constexpr size_t kMaxValues = size_t{1} << 21;
constexpr size_t kMaxDepth = size_t{1} << 20;
constexpr size_t kMaxLine = 1024;

}  // namespace

std::string_view Bytes::take(uint64_t count) {
  check(count <= data_.size() - at_, "ends early");
  const std::string_view out = data_.substr(at_, count);
  at_ += count;
  return out;
}

uint64_t Bytes::take_unsigned(size_t num_bytes) {
  uint64_t value = 0;
  const std::string_view bytes = take(num_bytes);
  for (size_t i = 0; i < num_bytes; ++i) value |= uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  return value;
}

int64_t Bytes::take_signed(size_t num_bytes) {
  check(num_bytes <= 8, "holds an integer of ", num_bytes, " bytes");
  uint64_t value = take_unsigned(num_bytes);
  const bool negative = num_bytes > 0 && num_bytes < 8 && (value >> (8 * num_bytes - 1)) != 0;
  if (negative) value |= ~uint64_t{0} << (8 * num_bytes);
  return static_cast<int64_t>(value);
}

std::string Bytes::take_line() {
  const size_t end = data_.find('\n', at_);
  check(end != std::string_view::npos && end - at_ <= kMaxLine, "has an unfinished line");
  const std::string line(take(end - at_));
  take(1);
  return line;
}

void Stack::push(Value value) {
  bytes_.check(values_.size() < kMaxValues, "holds more than ", kMaxValues, " values");
  values_.push_back(std::move(value));
  push_ref(static_cast<Ref>(values_.size() - 1));
}

void Stack::push_ref(Ref ref) {
  bytes_.check(stack_.size() < kMaxDepth, "stacks more than ", kMaxDepth, " values");
  stack_.push_back(ref);
}

Ref Stack::pop() {
  const Ref ref = top();
  stack_.pop_back();
  return ref;
}

Ref Stack::top() const {
  bytes_.check(stack_.size() > floor(), "takes a value from an empty stack");
  return stack_.back();
}

void Stack::mark() {
  bytes_.check(marks_.size() < kMaxDepth, "sets more than ", kMaxDepth, " marks");
  marks_.push_back(stack_.size());
}

std::vector<Ref> Stack::pop_to_mark() {
  bytes_.check(!marks_.empty(), "has no mark");
  const auto from = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<Ref> items(from, stack_.end());
  stack_.erase(from, stack_.end());
  marks_.pop_back();
  return items;
}

void Stack::push_tuple(size_t count) {
  std::vector<Ref> items(count);
  for (size_t i = count; i-- > 0;) items[i] = pop();
  push({.kind = Kind::kTuple, .items = std::move(items)});
}

void Stack::extend(Kind kind, const std::vector<Ref>& items) {
  Value& container = values_[top()];
  if (container.kind == Kind::kObject) return;
  bytes_.check(container.kind == kind, "fills ", name_of(container.kind), " as if it were ", name_of(kind));
  bytes_.check(kind != Kind::kDict || items.size() % 2 == 0, "sets a key without a value");
  count_items(items.size());
  container.items.insert(container.items.end(), items.begin(), items.end());
}

void Stack::add_to_object(Ref item) {
  count_items(1);
  values_[top()].items.push_back(item);
}

void Stack::count_items(size_t count) {
  total_items_ += count;
  bytes_.check(total_items_ <= kMaxValues, "holds more than ", kMaxValues, " items");
}

void Stack::remember(uint64_t index) {
  bytes_.check(index < kMaxValues, "remembers value ", index, " of at most ", kMaxValues);
  memo_[index] = top();
}

void Stack::recall(uint64_t index) {
  const auto found = memo_.find(index);
  bytes_.check(found != memo_.end(), "recalls value ", index, ", which it never remembered,");
  push_ref(found->second);
}

Ref Stack::result() const {
  bytes_.check(marks_.empty() && stack_.size() == 1, "ends with ", stack_.size(), " values");
  return stack_.back();
}

}  // namespace hici::io::pickle
