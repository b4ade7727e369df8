// SPDX-License-Identifier: Apache-2.0
// Runs the pickle of a file of torch.save without running anything of the file: a small machine that knows tensors and
// plain containers. Used by pickle_reader (state dicts) and pickled_record (everything else).
//
// Own code because LibTorch's Unpickler resolves what it does not know through TorchScript, loads every storage at
// once, and takes the number of elements of a storage from the pickle without comparing it with the record.
#pragma once

#include "hici/io/torch/pickle_vm.h"
#include "hici/io/torch/pickled_tensor.h"

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace hici::io::pickle {

// What becomes of a class that is not on the machine's short list.
enum class ForeignClasses {
  kRefused,  // an error that names it
  kInert,    // its objects are records (Kind::kObject) of what they were made from; nothing of it is run or looked up
};

// A class or function that a pickle may name.
enum class Role {
  kForeign,
  kOrderedDict,
  kTensor,
  kTensorOfType,
  kTensorOfClass,
  kParameter,
  kParameterWithState,
  kStorage,
  kUntypedStorage,
  kType,
  kSize,
  kTensorClass
};

struct Global {
  const char* module;
  const char* name;
  Role role;
  c10::ScalarType dtype = c10::ScalarType::Undefined;
};

class Machine {
 public:
  // Both must outlive the object.
  Machine(std::string_view pickle, const std::string& subject, ForeignClasses foreign)
      : bytes_(pickle, subject), stack_(bytes_), foreign_(foreign) {}
  Machine(const Machine&) = delete;  // the stack refers to the bytes
  Machine& operator=(const Machine&) = delete;

  // The value that the pickle is. To be called once.
  Ref run();
  const Value& operator[](Ref ref) const { return stack_[ref]; }
  // Of a value of Kind::kTensor.
  const PickledTensor& tensor(const Value& value) const { return tensors_[static_cast<size_t>(value.number)]; }

 private:
  using Action = void (*)(Machine&);
  struct Opcode {
    unsigned char code;
    Action action;
  };
  static const Opcode kOpcodes[];
  static const Opcode kOpcodesOfObjects[];  // only where objects are inert
  static std::array<Action, 256> table_of_actions(ForeignClasses foreign);

  template <typename... Parts>
  void check(bool holds, const Parts&... parts) const {
    bytes_.check(holds, parts...);
  }
  bool takes_objects() const { return foreign_ == ForeignClasses::kInert; }

  void push_int(int64_t value) { stack_.push({.kind = Kind::kInt, .number = value}); }
  void push_long();
  void push_string(size_t length_bytes) {
    stack_.push({.kind = Kind::kString, .text = std::string(bytes_.take(bytes_.take_unsigned(length_bytes)))});
  }
  void push_bool(bool value) { stack_.push({.kind = Kind::kBool, .number = value}); }
  void push_tensor(Kind kind, PickledTensor tensor);
  void push_object(const Value& of_class, std::vector<Ref> made_from);
  void push_global(std::string_view module, std::string_view name);
  void push_named_global();
  void push_stack_global();
  void push_storage();
  void append();
  void append_all(Kind kind);
  void set_item();
  void build();
  void make_object(bool has_keywords);
  void reduce();
  void call(const Value& callee, Ref arguments);
  void rebuild_tensor(const Value& arguments, bool names_type);
  void rebuild_parameter(const Value& arguments, bool has_state);
  void rebuild_of_class(const Value& callee, Ref arguments);

  [[noreturn]] void refuse_opcode(unsigned char code) const;
  const Global& global(const Value& value) const;
  const Value& argument(const Value& arguments, size_t index, Kind kind) const;
  void check_count(const Value& arguments, size_t low, size_t high) const;
  std::vector<int64_t> sizes_of(const Value& tuple) const;

  Bytes bytes_;
  Stack stack_;
  ForeignClasses foreign_;
  std::vector<PickledTensor> tensors_;  // those of kTensor, and of kStorage without a view
};

}  // namespace hici::io::pickle
