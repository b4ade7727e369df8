// SPDX-License-Identifier: Apache-2.0
#include "hici/io/peft_names.h"

#include "hici/base/joined.h"
#include "hici/config/parameter_names.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

namespace hici::io {
namespace {

using Parts = std::vector<std::string>;

constexpr std::array<std::string_view, 3> kWrappers{"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"};
// Parts that follow ".modules_to_save" where no name of an adapter stands between.
constexpr std::array<std::string_view, 23> kModuleWords{"weight",
                                                        "bias",
                                                        "self_attn",
                                                        "mlp",
                                                        "q_proj",
                                                        "k_proj",
                                                        "v_proj",
                                                        "o_proj",
                                                        "gate_proj",
                                                        "up_proj",
                                                        "down_proj",
                                                        "q_norm",
                                                        "k_norm",
                                                        "norm",
                                                        "input_layernorm",
                                                        "post_attention_layernorm",
                                                        "embed_tokens",
                                                        "layers",
                                                        "lm_head",
                                                        "local_constructor",
                                                        "global_integrator",
                                                        "shared_compressor",
                                                        "memory_slots"};

template <size_t N>
bool contains(const std::array<std::string_view, N>& words, const std::string& part) {
  return std::find(words.begin(), words.end(), part) != words.end();
}

Parts parts_of(const std::string& name) {
  Parts out;
  for (size_t at = 0; at <= name.size();) {
    const size_t end = std::min(name.find('.', at), name.size());
    out.push_back(name.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

void drop_wrappers(Parts& parts, PeftName& out) {
  std::erase_if(parts, [&](const std::string& part) {
    if (!contains(kWrappers, part)) return false;
    out.wrapper = part;
    return true;
  });
  while (parts.size() > 1 && parts.front() == "module") parts.erase(parts.begin());
  if (parts.size() > 2 && parts[0] == "base_model" && parts[1] == "model")
    parts.erase(parts.begin(), parts.begin() + 2);
  while (parts.size() > 1 && parts.front() == "module") parts.erase(parts.begin());
}

// What follows the name of an adapter's tensor: "default.weight", "weight", "default" or nothing.
void keep_end(Parts& parts, size_t tensor, bool has_weight, PeftName& out) {
  std::string end;
  for (size_t i = tensor + 1; i < parts.size(); ++i) {
    if (parts[i] == "weight" || parts[i] == "bias") {
      end = parts[i];
    } else {
      out.adapter = parts[i];
    }
  }
  parts.resize(tensor + 1);
  if (has_weight && !end.empty()) parts.push_back(end);
}

void drop_inner_names(Parts& parts, PeftName& out) {
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string& part = parts[i];
    if (part == "base_layer") {
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(i));
      if (i > 0 && parts[i - 1] == "token_adapter") parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(--i));
      out.spelling = Spelling::kBaseLayer;
      --i;
    } else if (part == "modules_to_save") {
      const bool has_adapter = i + 2 < parts.size() && !contains(kModuleWords, parts[i + 1]);
      if (has_adapter) out.adapter = parts[i + 1];
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(i),
                  parts.begin() + static_cast<std::ptrdiff_t>(i + (has_adapter ? 2 : 1)));
      out.spelling = Spelling::kSaved;
      --i;
    } else if (part == "lora_A" || part == "lora_B") {
      return keep_end(parts, i, true, out);
    } else if (part == "lora_embedding_A" || part == "lora_embedding_B" || part == "lora_magnitude_vector" ||
               part == "trainable_tokens_delta") {
      return keep_end(parts, i, false, out);
    }
  }
}

}  // namespace

PeftName parse_peft_name(const std::string& name) {
  PeftName out;
  Parts parts = parts_of(name);
  drop_wrappers(parts, out);
  const bool is_peft_own = std::any_of(parts.begin(), parts.end(), [](const std::string& part) {
    return part == "original_module" || part == "trainable_tokens_original" || part == "inv_freq";
  });
  if (is_peft_own) return out;
  drop_inner_names(parts, out);
  out.plain = joined(parts, ".");
  return out;
}

bool is_peft_parameter(const std::string& plain_name) {
  return config::is_lora_parameter(plain_name) || plain_name.ends_with(kTokenRows);
}

}  // namespace hici::io
