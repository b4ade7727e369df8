// SPDX-License-Identifier: Apache-2.0
// The pickle of a .bin by itself.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/io/torch/pickle_reader.h"
#include "support/torch_archive.h"

namespace hici::fuzz {

void read_pickle(std::string_view bytes) {
  for (const io::PickledTensor& tensor : io::read_pickled_state_dict(bytes, "x.bin"))
    require(tensor.sizes.size() == tensor.strides.size(), "a tensor with unequal sizes and strides");
}

std::vector<std::string> pickle_seeds() {
  using testing::pickled_global;
  const testing::PickledView view{.name = "a", .elements = 6, .sizes = {2, 3}, .strides = {3, 1}};
  const std::string tensor = testing::pickled_tensor(view);
  const std::string hooks = pickled_global("collections", "OrderedDict") + ")R";
  const std::string parameter =
      pickled_global("torch._utils", "_rebuild_parameter") + "(" + tensor + "\x88" + hooks + "tR";
  // Protocol 4 with short opcodes, a memo and attributes, as other versions of Python write a dict.
  const std::string other = std::string("\x80\x04\x95\0\0\0\0\0\0\0\0", 11) + hooks +
                            "\x94(\x8c\x01"
                            "a\x94" +
                            tensor +
                            "\x8c\x01"
                            "b" +
                            tensor +
                            "u}\x8c\x09_metadata]K\x01"
                            "a\x85sb.";
  return {testing::pickled_state_dict({view, {.name = "b", .storage_class = "BFloat16Storage"}}),
          testing::pickled_dict({{"w", parameter}}), other};
}

}  // namespace hici::fuzz
