// SPDX-License-Identifier: Apache-2.0
// A file of torch.save that is no state dict, such as a training checkpoint: its pickle as plain values. Objects of
// classes that the machine does not know are inert (pickle_machine.h). Messages name a value by its place:
// "FILE: `optimizer_state_dict.partition_count` is a list, expected an integer".
#pragma once

#include "hici/io/torch/pickle_machine.h"
#include "hici/io/torch/pickled_tensor.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hici::io {

// One value. Cheap to copy; keeps the whole record alive.
class PickledValue {
 public:
  // The root of a pickle. `subject` names the file.
  PickledValue(std::string_view pickle, const std::string& subject);

  pickle::Kind kind() const { return value().kind; }
  bool is_none() const { return kind() == pickle::Kind::kNone; }
  bool is_tensor() const { return kind() == pickle::Kind::kTensor; }

  // Of a dict. As in Python the last of equal keys counts; keys that are no strings are left out.
  std::optional<PickledValue> find(std::string_view key) const;  // nothing also where the value is None
  PickledValue at(std::string_view key) const;
  std::vector<std::pair<std::string, PickledValue>> entries() const;
  // Of a list or a tuple.
  std::vector<PickledValue> items() const;

  int64_t integer() const;  // a bool too; an enum's or another object's only argument
  bool boolean() const;
  const std::string& text() const;
  std::vector<int64_t> integers() const;  // a list or a tuple of them
  const PickledTensor& tensor() const;

  // "FILE: `a.b`", the beginning of a message.
  std::string subject() const;

 private:
  struct Record;
  PickledValue(std::shared_ptr<const Record> record, pickle::Ref ref, std::string place)
      : record_(std::move(record)), ref_(ref), place_(std::move(place)) {}

  const pickle::Value& value() const;
  const pickle::Value& expect(pickle::Kind kind) const;
  PickledValue child(pickle::Ref ref, std::string_view name) const;

  std::shared_ptr<const Record> record_;
  pickle::Ref ref_ = 0;
  std::string place_;
};

}  // namespace hici::io
