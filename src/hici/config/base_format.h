// SPDX-License-Identifier: Apache-2.0
// How the frozen matrices of the layers, projections and MLPs, are stored.
#pragma once

#include "hici/base/enum_names.h"

#include <string>

namespace hici::config {

enum class BaseFormat {
  kModel,      // in the type of all other tensors
  kFp8,        // 8 bits, and multiplied in 8 bits (ops/fp8.h)
  kNf4,        // 4 bits, unpacked to the type of the other tensors just before each product (ops/nf4.h)
  kNf4Double,  // the same with the scales of the blocks in 8 bits
};

constexpr EnumNames<BaseFormat, 4> names_of(BaseFormat) {
  return {"format of frozen matrices",
          {{{BaseFormat::kModel, "model"},
            {BaseFormat::kFp8, "fp8"},
            {BaseFormat::kNf4, "nf4"},
            {BaseFormat::kNf4Double, "nf4_double"}}}};
}

constexpr bool is_nf4(BaseFormat format) { return format == BaseFormat::kNf4 || format == BaseFormat::kNf4Double; }

// "frozen matrices in 8 bits" behind `lead`, for messages and titles; empty for kModel.
inline std::string matrices_text(BaseFormat format, const char* lead) {
  switch (format) {
    case BaseFormat::kModel:
      return "";
    case BaseFormat::kFp8:
      return std::string(lead).append("frozen matrices in 8 bits");
    case BaseFormat::kNf4:
      return std::string(lead).append("frozen matrices in 4 bits");
    case BaseFormat::kNf4Double:
      return std::string(lead).append("frozen matrices in 4 bits, their scales in 8");
  }
  return "";
}

}  // namespace hici::config
