// SPDX-License-Identifier: Apache-2.0
// A Parquet file, batch by batch: some rows of a row group at a time. Included by the .cpp files that link to libarrow
// only.
#pragma once

#include "hici/data/arrow/batches.h"

#include <filesystem>
#include <memory>

namespace hici::data {

std::unique_ptr<BatchReader> open_parquet(const std::filesystem::path& path, const ChooseColumns& choose);

}  // namespace hici::data
