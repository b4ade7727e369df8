// SPDX-License-Identifier: Apache-2.0
#include "hici/io/torch/pickle_reader.h"

#include "hici/base/json.h"
#include "hici/io/tensor_source.h"
#include "hici/io/torch/pickle_machine.h"

#include <set>

namespace hici::io {

using pickle::Kind;
using pickle::Value;

std::vector<PickledTensor> read_pickled_state_dict(std::string_view pickle, const std::string& subject) {
  pickle::Machine machine(pickle, subject, pickle::ForeignClasses::kRefused);
  const Value& root = machine[machine.run()];
  HICI_CHECK(root.kind == Kind::kDict, subject, ": holds ", name_of(root.kind),
             ", expected a dict from names to tensors (a state dict)");
  HICI_CHECK(root.items.size() / 2 <= kMaxTensors, subject, ": holds ", root.items.size() / 2,
             " tensors, more than the ", kMaxTensors, " allowed");
  std::vector<PickledTensor> out;
  std::set<std::string_view> names;
  for (size_t i = 0; i < root.items.size(); i += 2) {
    const Value &key = machine[root.items[i]], &value = machine[root.items[i + 1]];
    HICI_CHECK(key.kind == Kind::kString, subject, ": a key is ", name_of(key.kind), ", expected the name of a tensor");
    HICI_CHECK(value.kind == Kind::kTensor, subject, ": entry '", printable(key.text), "' is ", name_of(value.kind),
               ", expected a tensor; is it a training checkpoint? save the state dict alone");
    HICI_CHECK(!key.text.empty() && key.text.size() <= kMaxTensorNameLength, subject, ": tensor name of ",
               key.text.size(), " bytes, expected 1 to ", kMaxTensorNameLength);
    HICI_CHECK(names.insert(key.text).second, subject, ": tensor '", printable(key.text),
               "' is there twice; the file is damaged");
    out.push_back(machine.tensor(value));
    out.back().name = key.text;
  }
  return out;
}

}  // namespace hici::io
