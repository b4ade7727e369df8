// SPDX-License-Identifier: Apache-2.0
#include "hici/io/deepspeed/training_dump.h"

#include "hici/base/error.h"
#include "hici/io/deepspeed/dump_folder.h"
#include "hici/io/deepspeed/dump_source.h"
#include "hici/io/deepspeed/model_states.h"

namespace hici::io {

TrainingDump open_training_dump(const fs::path& folder) {
  auto source = std::make_shared<DumpSource>(list_dump(folder));
  return {.folder = folder,
          .source = source,
          .trained = source->trained(),
          .files = source->files(),
          .finish = [source] { source->finish(); },
          .world_size = source->world_size()};
}

std::optional<std::vector<std::string>> trained_names(const fs::path& folder) {
  const PickledValue root = DumpFile(list_dump(folder).model_states.front()).root();
  if (!names_trained_parameters(root)) return std::nullopt;
  std::vector<std::string> out;
  for (const std::vector<ParameterShape>& group : trained_groups(root))
    for (const ParameterShape& parameter : group) out.push_back(parameter.name);
  return out;
}

}  // namespace hici::io
