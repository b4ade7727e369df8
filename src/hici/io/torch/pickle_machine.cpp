// SPDX-License-Identifier: Apache-2.0
#include "hici/io/torch/pickle_machine.h"

#include "hici/base/json.h"
#include "hici/io/tensor_source.h"

#include <algorithm>
#include <iomanip>
#include <span>

namespace hici::io::pickle {
namespace {

constexpr size_t kMaxKeyLength = 64;  // storage keys are numbers

// Everything that a state dict may name. Types that have no class of storage are named beside an untyped one (_v3).
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
                               {"torch", "float8_e5m2", Role::kType, c10::ScalarType::Float8_e5m2},
                               // From here on: only where other objects are let pass.
                               {"torch", "Size", Role::kSize},
                               {"torch", "Tensor", Role::kTensorClass},
                               {"torch.nn.parameter", "Parameter", Role::kTensorClass},
                               {"torch._tensor", "_rebuild_from_type_v2", Role::kTensorOfClass},
                               {"torch._utils", "_rebuild_parameter_with_state", Role::kParameterWithState}};
constexpr size_t kNumGlobalsOfStateDicts = 17;
static_assert(kGlobals[kNumGlobalsOfStateDicts].role == Role::kSize);
constexpr Global kForeign{"", "", Role::kForeign};

}  // namespace

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
    {0x8a, [](Machine& m) { m.push_long(); }},                                // LONG1
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

// How Python writes objects, sets and bytes.
const Machine::Opcode Machine::kOpcodesOfObjects[] = {
    {0x81, [](Machine& m) { m.make_object(false); }},                  // NEWOBJ
    {0x92, [](Machine& m) { m.make_object(true); }},                   // NEWOBJ_EX
    {'B', [](Machine& m) { m.push_string(4); }},                       // BINBYTES
    {'C', [](Machine& m) { m.push_string(1); }},                       // SHORT_BINBYTES
    {0x8e, [](Machine& m) { m.push_string(8); }},                      // BINBYTES8
    {0x96, [](Machine& m) { m.push_string(8); }},                      // BYTEARRAY8
    {0x8f, [](Machine& m) { m.stack_.push({.kind = Kind::kList}); }},  // EMPTY_SET
    {0x90, [](Machine& m) { m.append_all(Kind::kList); }},             // ADDITEMS
    {0x91, [](Machine& m) { m.stack_.push({.kind = Kind::kList, .items = m.stack_.pop_to_mark()}); }},  // FROZENSET
    {0x8b,
     [](Machine& m) {
       m.bytes_.take(m.bytes_.take_unsigned(4));
       m.push_object({}, {});
     }},                                                // LONG4
    {'0', [](Machine& m) { m.stack_.pop(); }},          // POP
    {'1', [](Machine& m) { m.stack_.pop_to_mark(); }},  // POP_MARK
};

std::array<Machine::Action, 256> Machine::table_of_actions(ForeignClasses foreign) {
  std::array<Action, 256> table{};
  for (const Opcode& opcode : kOpcodes) table[opcode.code] = opcode.action;
  if (foreign == ForeignClasses::kRefused) return table;
  for (const Opcode& opcode : kOpcodesOfObjects) table[opcode.code] = opcode.action;
  return table;
}

Ref Machine::run() {
  static const std::array<Action, 256> plain = table_of_actions(ForeignClasses::kRefused);
  static const std::array<Action, 256> all = table_of_actions(ForeignClasses::kInert);
  const std::array<Action, 256>& actions = takes_objects() ? all : plain;
  while (true) {
    const auto code = static_cast<unsigned char>(bytes_.take(1)[0]);
    if (code == '.') break;  // STOP
    if (actions[code] == nullptr) refuse_opcode(code);
    actions[code](*this);
  }
  check(bytes_.at_end(), "goes on after its end");
  return stack_.result();
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
  const auto known = std::span(kGlobals).first(takes_objects() ? std::size(kGlobals) : kNumGlobalsOfStateDicts);
  const auto found = std::find_if(known.begin(), known.end(),
                                  [&](const Global& each) { return module == each.module && name == each.name; });
  if (found != known.end()) return stack_.push({.kind = Kind::kGlobal, .number = found - known.begin()});
  HICI_CHECK(
      takes_objects(), bytes_.subject(), ": holds an object of class '", printable(module, 80), ".",
      printable(name, 80),
      "', which is not read; save tensors only: torch.save({k: v for k, v in model.state_dict().items()}, file)");
  stack_.push({.kind = Kind::kGlobal, .number = -1, .text = detail::concat(module, ".", name)});
}

const Global& Machine::global(const Value& value) const {
  return value.number < 0 ? kForeign : kGlobals[static_cast<size_t>(value.number)];
}

// Counters of random numbers may need more than 64 bits; nobody asks for them.
void Machine::push_long() {
  const uint64_t num_bytes = bytes_.take_unsigned(1);
  if (num_bytes <= 8 || !takes_objects()) return push_int(bytes_.take_signed(num_bytes));
  bytes_.take(num_bytes);
  push_object({}, {});
}

void Machine::push_object(const Value& of_class, std::vector<Ref> made_from) {
  stack_.push({.kind = Kind::kObject, .text = of_class.text, .items = std::move(made_from)});
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
  const Ref state = stack_.pop();
  const Kind kind = stack_[stack_.top()].kind;
  if (kind == Kind::kObject) return stack_.add_to_object(state);
  check(kind == Kind::kDict, "sets attributes of ", name_of(kind));
}

// NEWOBJ: class, arguments; NEWOBJ_EX: keywords too.
void Machine::make_object(bool has_keywords) {
  if (has_keywords) stack_.pop();
  const Ref arguments = stack_.pop();
  const Value& of_class = stack_.pop_value();
  push_object(of_class, {arguments});
}

void Machine::reduce() {
  const Ref arguments = stack_.pop();
  const Value& callee = stack_.pop_value();
  const bool is_foreign = callee.kind != Kind::kGlobal || global(callee).role == Role::kForeign;
  if (takes_objects() && is_foreign) return push_object(callee, {arguments});
  check(stack_[arguments].kind == Kind::kTuple && callee.kind == Kind::kGlobal, "calls ", name_of(callee.kind),
        " with ", name_of(stack_[arguments].kind));
  call(callee, arguments);
}

void Machine::call(const Value& callee, Ref arguments_ref) {
  const Value& arguments = stack_[arguments_ref];
  switch (global(callee).role) {
    case Role::kOrderedDict:
      check_count(arguments, 0, 0);
      return stack_.push({.kind = Kind::kDict});
    case Role::kTensor:
      return rebuild_tensor(arguments, false);
    case Role::kTensorOfType:
      return rebuild_tensor(arguments, true);
    case Role::kParameter:
      return rebuild_parameter(arguments, false);
    case Role::kParameterWithState:
      return rebuild_parameter(arguments, true);
    case Role::kTensorOfClass:
      return rebuild_of_class(callee, arguments_ref);
    case Role::kSize:  // a tuple of tuple
      check_count(arguments, 1, 1);
      argument(arguments, 0, Kind::kTuple);
      return stack_.push_again(arguments.items[0]);
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

// _rebuild_parameter(tensor, requires_grad, backward_hooks); attributes, where there are some, are of Python only.
void Machine::rebuild_parameter(const Value& arguments, bool has_state) {
  const size_t count = has_state ? 4 : 3;
  check_count(arguments, count, count);
  argument(arguments, 1, Kind::kBool);
  check(argument(arguments, 2, Kind::kDict).items.empty(), "hangs backward hooks on a parameter");
  argument(arguments, 0, Kind::kTensor);
  stack_.push_again(arguments.items[0]);
}

// _rebuild_from_type_v2(function, class, arguments, state): a tensor with attributes of Python, which are dropped. One
// of another class may mean other values.
void Machine::rebuild_of_class(const Value& callee, Ref arguments_ref) {
  const Value& arguments = stack_[arguments_ref];
  check_count(arguments, 4, 4);
  const Value &function = argument(arguments, 0, Kind::kGlobal), &type = argument(arguments, 1, Kind::kGlobal);
  const Role role = global(function).role;
  const bool is_plain = role == Role::kTensor || role == Role::kTensorOfType || role == Role::kParameter;
  if (!is_plain || global(type).role != Role::kTensorClass) return push_object(callee, {arguments_ref});
  argument(arguments, 2, Kind::kTuple);
  call(function, arguments.items[2]);
}

}  // namespace hici::io::pickle
