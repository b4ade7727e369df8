// SPDX-License-Identifier: Apache-2.0
#include "hici/io/pickle_reader.h"

#include "hici/base/error.h"
#include "hici/base/json.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>

namespace hici::io {
namespace {

constexpr size_t kMaxValues = size_t{1} << 21;
constexpr size_t kMaxRank = 8;

enum class Kind { kNone, kBool, kInt, kFloat, kString, kTuple, kList, kDict, kGlobal, kStorage, kTensor };

const char* name_of(Kind kind) {
  constexpr const char* kNames[] = {"None",   "a bool", "an integer", "a float",   "a string", "a tuple",
                                    "a list", "a dict", "a class",    "a storage", "a tensor"};
  return kNames[static_cast<size_t>(kind)];
}

// Values live in one arena and name each other by index: nothing is recursive, not even freeing.
using Ref = uint32_t;

struct Value {
  Kind kind = Kind::kNone;
  int64_t number = 0;           // kInt, kBool
  std::string text = {};        // kString; kGlobal: "module name"
  std::vector<Ref> items = {};  // kTuple, kList; kDict: key, value, key, value; kStorage: its description
  PickledTensor tensor = {};    // kTensor, kStorage
};

bool is_storage_class(const std::string& global) {
  constexpr const char* kStorages[] = {"DoubleStorage", "FloatStorage", "HalfStorage",  "BFloat16Storage",
                                       "LongStorage",   "IntStorage",   "ShortStorage", "CharStorage",
                                       "ByteStorage",   "BoolStorage"};
  return std::any_of(std::begin(kStorages), std::end(kStorages),
                     [&](const char* name) { return global == std::string("torch ") + name; });
}

class Machine {
 public:
  Machine(std::string_view pickle, const std::string& subject) : data_(pickle), subject_(subject) {}

  Ref run() {
    while (true) {
      const auto opcode = static_cast<unsigned char>(take(1)[0]);
      if (opcode == '.') break;
      step(opcode);
    }
    check(marks_.empty() && stack_.size() == 1, "ends with values left over");
    return stack_.back();
  }

  const Value& operator[](Ref ref) const { return values_[ref]; }

 private:
  template <typename... Parts>
  void check(bool holds, const Parts&... parts) const {
    HICI_CHECK(holds, subject_, ": pickle ", parts..., " at byte ", at_, "; the file is damaged or no state dict");
  }

  std::string_view take(size_t count) {
    check(count <= data_.size() - at_, "ends early");
    const std::string_view out = data_.substr(at_, count);
    at_ += count;
    return out;
  }

  uint64_t take_unsigned(size_t num_bytes) {
    uint64_t value = 0;
    const std::string_view bytes = take(num_bytes);
    for (size_t i = 0; i < num_bytes; ++i) value |= uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    return value;
  }

  std::string take_line() {
    const size_t end = data_.find('\n', at_);
    check(end != std::string_view::npos && end - at_ <= 1024, "has an unfinished line");
    const std::string line(take(end - at_));
    take(1);
    return line;
  }

  // LONG1: two's complement of any length; more than 8 bytes is no size.
  int64_t take_long() {
    const size_t num_bytes = take_unsigned(1);
    check(num_bytes <= 8, "holds an integer of ", num_bytes, " bytes");
    uint64_t value = take_unsigned(num_bytes);
    const bool negative = num_bytes > 0 && num_bytes < 8 && (value >> (8 * num_bytes - 1)) != 0;
    if (negative) value |= ~uint64_t{0} << (8 * num_bytes);
    return static_cast<int64_t>(value);
  }

  Ref add(Value value) {
    check(values_.size() < kMaxValues, "holds more than ", kMaxValues, " values");
    values_.push_back(std::move(value));
    return static_cast<Ref>(values_.size() - 1);
  }

  void push(Value value) { push_ref(add(std::move(value))); }
  void push_ref(Ref ref) {
    check(stack_.size() < kMaxValues, "stacks more than ", kMaxValues, " values");
    stack_.push_back(ref);
  }
  void push_int(int64_t value) { push({.kind = Kind::kInt, .number = value}); }
  void push_string(uint64_t length) { push({.kind = Kind::kString, .text = std::string(take(length))}); }

  size_t stack_floor() const { return marks_.empty() ? 0 : marks_.back(); }

  Ref pop() {
    check(stack_.size() > stack_floor(), "takes a value from an empty stack");
    const Ref top = stack_.back();
    stack_.pop_back();
    return top;
  }

  Ref top() const {
    check(stack_.size() > stack_floor(), "looks at an empty stack");
    return stack_.back();
  }

  Value& top_of_kind(Kind kind) {
    Value& value = values_[top()];
    check(value.kind == kind, "fills ", name_of(value.kind), " as if it were ", name_of(kind));
    return value;
  }

  std::vector<Ref> pop_to_mark() {
    check(!marks_.empty(), "has no mark");
    const auto from = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<Ref> items(from, stack_.end());
    stack_.erase(from, stack_.end());
    marks_.pop_back();
    return items;
  }

  void push_tuple(size_t count) {
    std::vector<Ref> items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    push({.kind = Kind::kTuple, .items = std::move(items)});
  }

  void extend(Kind kind, const std::vector<Ref>& items) {
    Value& container = top_of_kind(kind);
    check(kind != Kind::kDict || items.size() % 2 == 0, "sets a key without a value");
    total_items_ += items.size();
    check(total_items_ <= kMaxValues, "holds more than ", kMaxValues, " items");
    container.items.insert(container.items.end(), items.begin(), items.end());
  }

  void remember(uint64_t index) {
    check(index < kMaxValues, "remembers too much");
    memo_[index] = top();
  }

  void recall(uint64_t index) {
    const auto found = memo_.find(index);
    check(found != memo_.end(), "recalls what it never remembered");
    push_ref(found->second);
  }

  void push_global(const std::string& module, const std::string& name) {
    const std::string global = module + " " + name;
    const bool known = global == "collections OrderedDict" || global == "torch._utils _rebuild_tensor_v2" ||
                       global == "torch._utils _rebuild_parameter" || is_storage_class(global);
    HICI_CHECK(
        known, subject_, ": holds an object of class '", printable(module + "." + name),
        "', which is not read; save tensors only: torch.save({k: v for k, v in model.state_dict().items()}, file)");
    push({.kind = Kind::kGlobal, .text = global});
  }

  // STACK_GLOBAL: both names come from the stack.
  void push_stack_global() {
    const Value name = values_[pop()], module = values_[pop()];
    check(name.kind == Kind::kString && module.kind == Kind::kString, "names a class by no string");
    push_global(module.text, name.text);
  }

  const Value& argument(const Value& arguments, size_t index, Kind kind) const {
    check(index < arguments.items.size(), "calls with ", arguments.items.size(), " arguments");
    const Value& value = values_[arguments.items[index]];
    check(value.kind == kind, "calls with ", name_of(value.kind), " for ", name_of(kind));
    return value;
  }

  std::vector<int64_t> sizes_of(const Value& tuple) const {
    check(tuple.items.size() <= kMaxRank, "holds a tensor of ", tuple.items.size(), " dimensions");
    std::vector<int64_t> sizes;
    for (const Ref ref : tuple.items) {
      check(values_[ref].kind == Kind::kInt, "gives ", name_of(values_[ref].kind), " as a size");
      sizes.push_back(values_[ref].number);
    }
    return sizes;
  }

  // BINPERSID: ('storage', class, key, location, number of elements).
  void push_storage() {
    const Value description = values_[pop()];
    check(description.kind == Kind::kTuple && description.items.size() == 5, "refers to a storage in an unknown way");
    check(argument(description, 0, Kind::kString).text == "storage", "refers to something that is no storage");
    const std::string global = argument(description, 1, Kind::kGlobal).text;
    check(is_storage_class(global), "refers to a storage of class ", printable(global));
    PickledTensor tensor;
    tensor.storage_class = global.substr(global.find(' ') + 1);
    tensor.storage_key = argument(description, 2, Kind::kString).text;
    tensor.storage_elements = argument(description, 4, Kind::kInt).number;
    push({.kind = Kind::kStorage, .tensor = std::move(tensor)});
  }

  // _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks, metadata)
  void rebuild_tensor(const Value& arguments) {
    Value out{.kind = Kind::kTensor, .tensor = argument(arguments, 0, Kind::kStorage).tensor};
    out.tensor.offset = argument(arguments, 1, Kind::kInt).number;
    out.tensor.sizes = sizes_of(argument(arguments, 2, Kind::kTuple));
    out.tensor.strides = sizes_of(argument(arguments, 3, Kind::kTuple));
    check(out.tensor.sizes.size() == out.tensor.strides.size(), "holds a tensor with unequal sizes and strides");
    push(std::move(out));
  }

  void reduce() {
    const Value arguments = values_[pop()], callee = values_[pop()];
    check(arguments.kind == Kind::kTuple && callee.kind == Kind::kGlobal, "calls ", name_of(callee.kind), " with ",
          name_of(arguments.kind));
    if (callee.text == "collections OrderedDict") {
      check(arguments.items.empty(), "makes an OrderedDict from arguments");
      push({.kind = Kind::kDict});
    } else if (callee.text == "torch._utils _rebuild_tensor_v2") {
      rebuild_tensor(arguments);
    } else if (callee.text == "torch._utils _rebuild_parameter") {
      push(argument(arguments, 0, Kind::kTensor));
    } else {
      check(false, "calls a storage class");
    }
  }

  // Attributes of a container (the version numbers that state_dict() hangs on its OrderedDict) say nothing about
  // tensors.
  void build() {
    pop();
    const Kind kind = values_[top()].kind;
    check(kind == Kind::kDict || kind == Kind::kTensor, "sets attributes of ", name_of(kind));
  }

  void set_one_item() {
    const Ref value = pop(), key = pop();
    extend(Kind::kDict, {key, value});
  }

  void step(unsigned char opcode) {
    if (!step_value(opcode) && !step_structure(opcode))
      check(false, "uses opcode ", static_cast<int>(opcode), ", which no state dict needs,");
  }

  bool step_value(unsigned char opcode) {
    switch (opcode) {
      case 'N':
        push({});
        return true;
      case 0x88:
        push({.kind = Kind::kBool, .number = 1});
        return true;
      case 0x89:
        push({.kind = Kind::kBool});
        return true;
      case 'J':
        push_int(static_cast<int32_t>(take_unsigned(4)));
        return true;
      case 'K':
        push_int(static_cast<int64_t>(take_unsigned(1)));
        return true;
      case 'M':
        push_int(static_cast<int64_t>(take_unsigned(2)));
        return true;
      case 0x8a:
        push_int(take_long());
        return true;
      case 'G':
        take(8);
        push({.kind = Kind::kFloat});
        return true;
      case 'X':
        push_string(take_unsigned(4));
        return true;
      case 0x8c:
        push_string(take_unsigned(1));
        return true;
      case 0x8d:
        push_string(take_unsigned(8));
        return true;
      case 'T':
        push_string(take_unsigned(4));
        return true;
      case 'U':
        push_string(take_unsigned(1));
        return true;
      default:
        return false;
    }
  }

  bool step_structure(unsigned char opcode) {
    switch (opcode) {
      case 0x80:
        check(take_unsigned(1) <= 5, "has an unknown protocol");
        return true;
      case 0x95:
        take(8);
        return true;  // frame length, a hint
      case '(':
        check(marks_.size() < kMaxValues, "marks too much");
        marks_.push_back(stack_.size());
        return true;
      case ')':
        push_tuple(0);
        return true;
      case 0x85:
        push_tuple(1);
        return true;
      case 0x86:
        push_tuple(2);
        return true;
      case 0x87:
        push_tuple(3);
        return true;
      case 't':
        push({.kind = Kind::kTuple, .items = pop_to_mark()});
        return true;
      case ']':
        push({.kind = Kind::kList});
        return true;
      case '}':
        push({.kind = Kind::kDict});
        return true;
      case 'a': {
        const Ref item = pop();
        extend(Kind::kList, {item});
        return true;
      }
      case 'e': {
        const auto items = pop_to_mark();
        extend(Kind::kList, items);
        return true;
      }
      case 's':
        set_one_item();
        return true;
      case 'u': {
        const auto items = pop_to_mark();
        extend(Kind::kDict, items);
        return true;
      }
      case 'q':
        remember(take_unsigned(1));
        return true;
      case 'r':
        remember(take_unsigned(4));
        return true;
      case 0x94:
        remember(memo_.size());
        return true;
      case 'h':
        recall(take_unsigned(1));
        return true;
      case 'j':
        recall(take_unsigned(4));
        return true;
      case 'c': {
        const std::string module = take_line();
        push_global(module, take_line());
        return true;
      }
      case 0x93:
        push_stack_global();
        return true;
      case 'Q':
        push_storage();
        return true;
      case 'R':
        reduce();
        return true;
      case 'b':
        build();
        return true;
      default:
        return false;
    }
  }

  std::string_view data_;
  const std::string& subject_;
  size_t at_ = 0;
  std::deque<Value> values_;
  std::vector<Ref> stack_;
  std::vector<size_t> marks_;  // stack sizes
  std::map<uint64_t, Ref> memo_;
  size_t total_items_ = 0;
};

}  // namespace

std::vector<PickledTensor> read_pickled_state_dict(std::string_view pickle, const std::string& subject) {
  Machine machine(pickle, subject);
  const Value& root = machine[machine.run()];
  HICI_CHECK(root.kind == Kind::kDict, subject, ": holds ", name_of(root.kind),
             ", expected a dict from names to tensors (a state dict)");
  std::vector<PickledTensor> out;
  for (size_t i = 0; i < root.items.size(); i += 2) {
    const Value &key = machine[root.items[i]], &value = machine[root.items[i + 1]];
    HICI_CHECK(key.kind == Kind::kString, subject, ": a key is ", name_of(key.kind), ", expected the name of a tensor");
    HICI_CHECK(value.kind == Kind::kTensor, subject, ": entry '", printable(key.text), "' is ", name_of(value.kind),
               ", expected a tensor; is it a training checkpoint? save the state dict alone");
    out.push_back(value.tensor);
    out.back().name = key.text;
  }
  return out;
}

}  // namespace hici::io
