// SPDX-License-Identifier: Apache-2.0
// An Arrow IPC stream file, as datasets writes it, batch by batch. Included by the .cpp files that link to libarrow
// only.
#pragma once

#include "hici/data/arrow/batches.h"

#include <filesystem>
#include <memory>

namespace hici::data {

std::unique_ptr<BatchReader> open_arrow_stream(const std::filesystem::path& path, const ChooseColumns& choose);

}  // namespace hici::data
