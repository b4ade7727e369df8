// SPDX-License-Identifier: Apache-2.0
#include "hici/io/torch/pickle_reader.h"

#include "hici/base/json.h"
#include "hici/io/tensor_source.h"
#include "hici/io/torch/pickle_vm.h"

#include <algorithm>
#include <array>
#include <iomanip>
#include <set>

namespace hici::io {
namespace {

using pickle::Kind;
using pickle::Ref;
using pickle::Value;

constexpr size_t kMaxKeyLength = 64;  // storage keys are numbers

enum class Role { kOrderedDict, kTensor, kTensorOfType, kParameter, kStorage, kUntypedStorage, kType };

struct Global {
  const char* module;
  const char* name;
  Role role;
  c10::ScalarType dtype = c10::ScalarType::Undefined;
};

// Everything that a pickle may name. Types that have no class of storage are named beside an untyped one (_v3).
constexpr Global kGlobals[] = {{"collections", "OrderedDict", Role::kOrderedDict},
                               {"torch._utils", "_rebuild_tensor_v2", Role::kTensor},
                               {"torch._utils", "_rebuild_tensor_v3", Role::kTensorOfType},
                               {"torch._utils", "_rebuild_parameter", Role::kParameter},
                               {"torch", "DoubleStorage", Role::kStorage, c10::kDouble},
                               {"torch", "FloatStorage", Role::kStorage, c10::kFloat},
                               {"torch", "HalfStorage", Role::kStorage, c10::kHalf},
                               {"torch", "BFloat16Storage", Role::kStorage, c10::kBFloat16},
                               {"torch", "LongStorage", Role::kStorage, c10::kLong},
                               {"torch", "IntStorage", Role::kStorage, c10::kInt},
                               {"torch", "ShortStorage", Role::kStorage, c10::kShort},
                               {"torch", "CharStorage", Role::kStorage, c10::kChar},
                               {"torch", "ByteStorage", Role::kStorage, c10::kByte},
                               {"torch", "BoolStorage", Role::kStorage, c10::kBool},
                               {"torch.storage", "UntypedStorage", Role::kUntypedStorage, c10::kByte},
                               {"torch", "float8_e4m3fn", Role::kType, c10::ScalarType::Float8_e4m3fn},
                               {"torch", "float8_e5m2", Role::kType, c10::ScalarType::Float8_e5m2}};

class Machine {
 public:
  Machine(std::string_view pickle, const std::string& subject) : bytes_(pickle, subject), stack_(bytes_) {}
  Machine(const Machine&) = delete;  // the stack refers to the bytes
  Machine& operator=(const Machine&) = delete;

  const Value& run();
  const Value& operator[](Ref ref) const { return stack_[ref]; }
  const PickledTensor& tensor(const Value& value) const { return tensors_[static_cast<size_t>(value.number)]; }

 private:
  using Action = void (*)(Machine&);
  struct Opcode {
    unsigned char code;
    Action action;
  };
  static const Opcode kOpcodes[];
  static std::array<Action, 256> table_of_actions();

  template <typename... Parts>
  void check(bool holds, const Parts&... parts) const {
    bytes_.check(holds, parts...);
  }

  void push_int(int64_t value) { stack_.push({.kind = Kind::kInt, .number = value}); }
  void push_string(size_t length_bytes) {
    stack_.push({.kind = Kind::kString, .text = std::string(bytes_.take(bytes_.take_unsigned(length_bytes)))});
  }
  void push_bool(bool value) { stack_.push({.kind = Kind::kBool, .number = value}); }
  void push_tensor(Kind kind, PickledTensor tensor);
  void push_global(std::string_view module, std::string_view name);
  void push_named_global();
  void push_stack_global();
  void push_storage();
  void append();
  void append_all(Kind kind);
  void set_item();
  void build();
  void reduce();
  void rebuild_tensor(const Value& arguments, bool names_type);
  void rebuild_parameter(const Value& arguments);

  [[noreturn]] void refuse_opcode(unsigned char code) const;
  const Global& global(const Value& value) const { return kGlobals[static_cast<size_t>(value.number)]; }
  const Value& argument(const Value& arguments, size_t index, Kind kind) const;
  void check_count(const Value& arguments, size_t low, size_t high) const;
  std::vector<int64_t> sizes_of(const Value& tuple) const;

  pickle::Bytes bytes_;
  pickle::Stack stack_;
  std::vector<PickledTensor> tensors_;  // those of kTensor, and of kStorage without a view
};

// The names are those of Python's pickletools.
const Machine::Opcode Machine::kOpcodes[] = {
    {0x80, [](Machine& m) { m.check(m.bytes_.take_unsigned(1) <= 5, "has an unknown protocol"); }},  // PROTO
    {0x95, [](Machine& m) { m.bytes_.take(8); }},                             // FRAME: a length, only a hint
    {'N', [](Machine& m) { m.stack_.push({}); }},                             // NONE
    {0x88, [](Machine& m) { m.push_bool(true); }},                            // NEWTRUE
    {0x89, [](Machine& m) { m.push_bool(false); }},                           // NEWFALSE
    {'J', [](Machine& m) { m.push_int(m.bytes_.take_signed(4)); }},           // BININT
    {'K', [](Machine& m) { m.push_int(m.bytes_.take_signed(1) & 0xff); }},    // BININT1, unsigned
    {'M', [](Machine& m) { m.push_int(m.bytes_.take_signed(2) & 0xffff); }},  // BININT2, unsigned
    {0x8a, [](Machine& m) { m.push_int(m.bytes_.take_signed(m.bytes_.take_unsigned(1))); }},  // LONG1
    {'G',
     [](Machine& m) {
       m.bytes_.take(8);
       m.stack_.push({.kind = Kind::kFloat});
     }},                                                 // BINFLOAT
    {'X', [](Machine& m) { m.push_string(4); }},         // BINUNICODE
    {0x8c, [](Machine& m) { m.push_string(1); }},        // SHORT_BINUNICODE
    {0x8d, [](Machine& m) { m.push_string(8); }},        // BINUNICODE8
    {'T', [](Machine& m) { m.push_string(4); }},         // BINSTRING
    {'U', [](Machine& m) { m.push_string(1); }},         // SHORT_BINSTRING
    {'(', [](Machine& m) { m.stack_.mark(); }},          // MARK
    {')', [](Machine& m) { m.stack_.push_tuple(0); }},   // EMPTY_TUPLE
    {0x85, [](Machine& m) { m.stack_.push_tuple(1); }},  // TUPLE1
    {0x86, [](Machine& m) { m.stack_.push_tuple(2); }},  // TUPLE2
    {0x87, [](Machine& m) { m.stack_.push_tuple(3); }},  // TUPLE3
    {'t', [](Machine& m) { m.stack_.push({.kind = Kind::kTuple, .items = m.stack_.pop_to_mark()}); }},  // TUPLE
    {']', [](Machine& m) { m.stack_.push({.kind = Kind::kList}); }},                                    // EMPTY_LIST
    {'}', [](Machine& m) { m.stack_.push({.kind = Kind::kDict}); }},                                    // EMPTY_DICT
    {'a', [](Machine& m) { m.append(); }},                                                              // APPEND
    {'e', [](Machine& m) { m.append_all(Kind::kList); }},                                               // APPENDS
    {'s', [](Machine& m) { m.set_item(); }},                                                            // SETITEM
    {'u', [](Machine& m) { m.append_all(Kind::kDict); }},                                               // SETITEMS
    {'q', [](Machine& m) { m.stack_.remember(m.bytes_.take_unsigned(1)); }},                            // BINPUT
    {'r', [](Machine& m) { m.stack_.remember(m.bytes_.take_unsigned(4)); }},                            // LONG_BINPUT
    {0x94, [](Machine& m) { m.stack_.remember_next(); }},                                               // MEMOIZE
    {'h', [](Machine& m) { m.stack_.recall(m.bytes_.take_unsigned(1)); }},                              // BINGET
    {'j', [](Machine& m) { m.stack_.recall(m.bytes_.take_unsigned(4)); }},                              // LONG_BINGET
    {'c', [](Machine& m) { m.push_named_global(); }},                                                   // GLOBAL
    {0x93, [](Machine& m) { m.push_stack_global(); }},                                                  // STACK_GLOBAL
    {'Q', [](Machine& m) { m.push_storage(); }},                                                        // BINPERSID
    {'R', [](Machine& m) { m.reduce(); }},                                                              // REDUCE
    {'b', [](Machine& m) { m.build(); }},                                                               // BUILD
};

std::array<Machine::Action, 256> Machine::table_of_actions() {
  std::array<Action, 256> table{};
  for (const Opcode& opcode : kOpcodes) table[opcode.code] = opcode.action;
  return table;
}

const Value& Machine::run() {
  static const std::array<Action, 256> actions = table_of_actions();
  while (true) {
    const auto code = static_cast<unsigned char>(bytes_.take(1)[0]);
    if (code == '.') break;  // STOP
    if (actions[code] == nullptr) refuse_opcode(code);
    actions[code](*this);
  }
  check(bytes_.at_end(), "goes on after its end");
  return stack_[stack_.result()];
}

// Those that make objects are known by name: the file may be a whole model.
void Machine::refuse_opcode(unsigned char code) const {
  constexpr std::pair<unsigned char, const char*> kNames[] = {{0x81, "NEWOBJ"}, {0x92, "NEWOBJ_EX"}, {'i', "INST"},
                                                              {'o', "OBJ"},     {'P', "PERSID"},     {0x82, "EXT1"},
                                                              {0x83, "EXT2"},   {0x84, "EXT4"},      {0x8b, "LONG4"}};
  std::ostringstream shown;
  shown << "0x" << std::hex << std::setw(2) << std::setfill('0') << static_cast<int>(code);
  for (const auto& [known, name] : kNames)
    if (known == code) shown << " (" << name << ")";
  fail(bytes_.subject(), ": pickle uses opcode ", shown.str(),
       ", which no state dict needs; save tensors only: ", "torch.save(model.state_dict(), file)");
}

void Machine::push_tensor(Kind kind, PickledTensor tensor) {
  check(tensors_.size() < kMaxTensors, "holds more than ", kMaxTensors, " tensors");
  tensors_.push_back(std::move(tensor));
  stack_.push({.kind = kind, .number = static_cast<int64_t>(tensors_.size() - 1)});
}

void Machine::push_global(std::string_view module, std::string_view name) {
  const auto found = std::find_if(std::begin(kGlobals), std::end(kGlobals),
                                  [&](const Global& known) { return module == known.module && name == known.name; });
  HICI_CHECK(
      found != std::end(kGlobals), bytes_.subject(), ": holds an object of class '", printable(module, 80), ".",
      printable(name, 80),
      "', which is not read; save tensors only: torch.save({k: v for k, v in model.state_dict().items()}, file)");
  stack_.push({.kind = Kind::kGlobal, .number = found - std::begin(kGlobals)});
}

void Machine::push_named_global() {
  const std::string module = bytes_.take_line();
  push_global(module, bytes_.take_line());
}

void Machine::push_stack_global() {
  const Value &name = stack_.pop_value(), &module = stack_.pop_value();
  check(name.kind == Kind::kString && module.kind == Kind::kString, "names a class by no string");
  push_global(module.text, name.text);
}

const Value& Machine::argument(const Value& arguments, size_t index, Kind kind) const {
  const Value& value = stack_[arguments.items.at(index)];
  check(value.kind == kind, "calls with ", name_of(value.kind), " for ", name_of(kind));
  return value;
}

void Machine::check_count(const Value& arguments, size_t low, size_t high) const {
  const size_t count = arguments.items.size();
  check(count >= low && count <= high, "calls with ", count, " arguments");
}

std::vector<int64_t> Machine::sizes_of(const Value& tuple) const {
  check(tuple.items.size() <= kMaxRank, "holds a tensor of ", tuple.items.size(), " dimensions");
  std::vector<int64_t> sizes;
  for (const Ref ref : tuple.items) {
    check(stack_[ref].kind == Kind::kInt, "gives ", name_of(stack_[ref].kind), " as a size");
    sizes.push_back(stack_[ref].number);
  }
  return sizes;
}

// BINPERSID: ('storage', class, key, location, number of elements).
void Machine::push_storage() {
  const Value& description = stack_.pop_value();
  check(description.kind == Kind::kTuple && description.items.size() == 5, "refers to a storage in an unknown way");
  check(argument(description, 0, Kind::kString).text == "storage", "refers to something that is no storage");
  const Global& storage = global(argument(description, 1, Kind::kGlobal));
  check(storage.role == Role::kStorage || storage.role == Role::kUntypedStorage, "refers to a storage of class ",
        storage.name);
  const std::string& key = argument(description, 2, Kind::kString).text;
  check(key.size() <= kMaxKeyLength, "names a storage by ", key.size(), " characters");
  PickledTensor tensor;
  tensor.dtype = storage.role == Role::kStorage ? storage.dtype : c10::ScalarType::Undefined;
  tensor.storage_key = key;
  tensor.storage_elements = argument(description, 4, Kind::kInt).number;
  push_tensor(Kind::kStorage, std::move(tensor));
}

void Machine::append() {
  const Ref item = stack_.pop();
  stack_.extend(Kind::kList, {item});
}

void Machine::append_all(Kind kind) {
  const std::vector<Ref> items = stack_.pop_to_mark();
  stack_.extend(kind, items);
}

void Machine::set_item() {
  const Ref value = stack_.pop(), key = stack_.pop();
  stack_.extend(Kind::kDict, {key, value});
}

// The version numbers that state_dict() hangs on its OrderedDict say nothing about tensors.
void Machine::build() {
  stack_.pop();
  const Kind kind = stack_[stack_.top()].kind;
  check(kind == Kind::kDict, "sets attributes of ", name_of(kind));
}

void Machine::reduce() {
  const Value &arguments = stack_.pop_value(), &callee = stack_.pop_value();
  check(arguments.kind == Kind::kTuple && callee.kind == Kind::kGlobal, "calls ", name_of(callee.kind), " with ",
        name_of(arguments.kind));
  switch (global(callee).role) {
    case Role::kOrderedDict:
      check_count(arguments, 0, 0);
      return stack_.push({.kind = Kind::kDict});
    case Role::kTensor:
      return rebuild_tensor(arguments, false);
    case Role::kTensorOfType:
      return rebuild_tensor(arguments, true);
    case Role::kParameter:
      return rebuild_parameter(arguments);
    default:
      check(false, "calls ", global(callee).name);
  }
}

// _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks, metadata=None), and _v3 with the
// type before the metadata.
void Machine::rebuild_tensor(const Value& arguments, bool names_type) {
  const size_t least = names_type ? 7 : 6;
  check_count(arguments, least, least + 1);
  PickledTensor out = tensor(argument(arguments, 0, Kind::kStorage));
  check((out.dtype == c10::ScalarType::Undefined) == names_type, "gives a tensor a storage of the wrong kind");
  if (names_type) {
    const Global& type = global(argument(arguments, 6, Kind::kGlobal));
    check(type.role == Role::kType, "gives ", type.name, " as a type");
    out.dtype = type.dtype;
    const auto width = static_cast<int64_t>(c10::elementSize(out.dtype));
    check(out.storage_elements % width == 0, "splits the elements of a storage");
    out.storage_elements /= width;
  }
  out.offset = argument(arguments, 1, Kind::kInt).number;
  out.sizes = sizes_of(argument(arguments, 2, Kind::kTuple));
  out.strides = sizes_of(argument(arguments, 3, Kind::kTuple));
  check(out.sizes.size() == out.strides.size(), "holds a tensor with unequal sizes and strides");
  argument(arguments, 4, Kind::kBool);
  check(argument(arguments, 5, Kind::kDict).items.empty(), "hangs backward hooks on a tensor");
  // Torch notes there that the values are the negative or the conjugate of what lies in the storage.
  if (arguments.items.size() > least)
    HICI_CHECK(argument(arguments, least, Kind::kDict).items.empty(), bytes_.subject(),
               ": holds a view that is negated or conjugated when it is used, which is not read; save "
               "tensor.resolve_neg() instead");
  push_tensor(Kind::kTensor, std::move(out));
}

// _rebuild_parameter(tensor, requires_grad, backward_hooks)
void Machine::rebuild_parameter(const Value& arguments) {
  check_count(arguments, 3, 3);
  argument(arguments, 1, Kind::kBool);
  check(argument(arguments, 2, Kind::kDict).items.empty(), "hangs backward hooks on a parameter");
  stack_.push(argument(arguments, 0, Kind::kTensor));
}

}  // namespace

std::vector<PickledTensor> read_pickled_state_dict(std::string_view pickle, const std::string& subject) {
  Machine machine(pickle, subject);
  const Value& root = machine.run();
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
