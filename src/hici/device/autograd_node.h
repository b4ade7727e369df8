// SPDX-License-Identifier: Apache-2.0
// What differs between the releases of LibTorch that hici is built with, 2.11 to 2.15: who counts the owners of an
// autograd node.
#pragma once

#include <torch/csrc/autograd/function.h>

#include <memory>
#include <type_traits>
#include <utility>

namespace hici::device {

// A node of the autograd graph, of a class derived from torch::autograd::Node, in the pointer that set_history() of
// this LibTorch takes. Both ways of deleting it are LibTorch's own, so a long chain of nodes is freed without deep
// recursion.
template <typename Node, typename... Arguments>
auto make_node(Arguments&&... arguments) {
  if constexpr (std::is_base_of_v<c10::intrusive_ptr_target, Node>) {
    return c10::make_intrusive<Node>(std::forward<Arguments>(arguments)...);
  } else {
    // The name is found by the argument's type: newer releases have no such function.
    return std::shared_ptr<Node>(new Node(std::forward<Arguments>(arguments)...), [](Node* node) { deleteNode(node); });
  }
}

}  // namespace hici::device
