// SPDX-License-Identifier: Apache-2.0
#include "hici/io/torch/pickled_record.h"

#include "hici/base/error.h"
#include "hici/base/json.h"

#include <map>

namespace hici::io {

using pickle::Kind;
using pickle::Ref;
using pickle::Value;

// The machine refers to the two texts, so that they live with it.
struct PickledValue::Record {
  std::string subject;
  std::string pickle;
  pickle::Machine machine;
  Ref root;

  Record(std::string_view bytes, const std::string& name)
      : subject(name), pickle(bytes), machine(pickle, subject, pickle::ForeignClasses::kInert), root(machine.run()) {}
};

PickledValue::PickledValue(std::string_view pickle, const std::string& subject)
    : record_(std::make_shared<Record>(pickle, subject)), ref_(record_->root) {}

const Value& PickledValue::value() const { return record_->machine[ref_]; }

std::string PickledValue::subject() const {
  return place_.empty() ? record_->subject : detail::concat(record_->subject, ": `", printable(place_, 200), "`");
}

const Value& PickledValue::expect(Kind kind) const {
  HICI_CHECK(value().kind == kind, subject(), " is ", name_of(value().kind), ", expected ", name_of(kind),
             "; was the file written by DeepSpeed?");
  return value();
}

PickledValue PickledValue::child(Ref ref, std::string_view name) const {
  return {record_, ref, detail::concat(place_, place_.empty() || name.starts_with('[') ? "" : ".", name)};
}

std::optional<PickledValue> PickledValue::find(std::string_view key) const {
  const std::vector<Ref>& items = expect(Kind::kDict).items;
  for (size_t i = items.size(); i >= 2; i -= 2) {
    const Value& name = record_->machine[items[i - 2]];
    if (name.kind != Kind::kString || name.text != key) continue;
    const PickledValue found = child(items[i - 1], key);
    return found.is_none() ? std::nullopt : std::optional(found);
  }
  return std::nullopt;
}

PickledValue PickledValue::at(std::string_view key) const {
  const std::optional<PickledValue> found = find(key);
  HICI_CHECK(found, subject(), " has no `", printable(key), "`; was the file written by DeepSpeed?");
  return *found;
}

std::vector<std::pair<std::string, PickledValue>> PickledValue::entries() const {
  const std::vector<Ref>& items = expect(Kind::kDict).items;
  std::vector<std::pair<std::string, PickledValue>> out;
  std::map<std::string_view, size_t> places;
  for (size_t i = 0; i < items.size(); i += 2) {
    const Value& name = record_->machine[items[i]];
    if (name.kind != Kind::kString) continue;
    const PickledValue entry = child(items[i + 1], name.text);
    const auto [place, is_new] = places.emplace(name.text, out.size());
    if (is_new) {
      out.emplace_back(name.text, entry);
    } else {
      out[place->second].second = entry;
    }
  }
  return out;
}

std::vector<PickledValue> PickledValue::items() const {
  if (kind() != Kind::kTuple) expect(Kind::kList);
  std::vector<PickledValue> out;
  size_t index = 0;
  for (const Ref ref : value().items) out.push_back(child(ref, detail::concat("[", index++, "]")));
  return out;
}

int64_t PickledValue::integer() const {
  const Value* found = &value();
  if (found->kind == Kind::kObject && found->items.size() == 1) {  // an enum: its class was called with its value
    const Value& arguments = record_->machine[found->items[0]];
    if (arguments.kind == Kind::kTuple && arguments.items.size() == 1) found = &record_->machine[arguments.items[0]];
  }
  if (found->kind == Kind::kInt || found->kind == Kind::kBool) return found->number;
  return expect(Kind::kInt).number;
}

bool PickledValue::boolean() const { return expect(Kind::kBool).number != 0; }

const std::string& PickledValue::text() const { return expect(Kind::kString).text; }

std::vector<int64_t> PickledValue::integers() const {
  std::vector<int64_t> out;
  for (const PickledValue& item : items()) out.push_back(item.integer());
  return out;
}

const PickledTensor& PickledValue::tensor() const { return record_->machine.tensor(expect(Kind::kTensor)); }

}  // namespace hici::io
