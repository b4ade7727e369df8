// SPDX-License-Identifier: Apache-2.0
// Of builds without libarrow.
#include "hici/data/arrow/ids.h"
#include "hici/data/arrow/rows.h"
#include "hici/data/arrow/source.h"
#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::data {
namespace {

TEST(NoArrowSourceTest, SaysWhatIsMissing) {
  EXPECT_ERROR_SAYS(open_arrow_source("some/folder", {}),
                    "some/folder: is a folder; reading an Arrow data set needs libarrow");
  EXPECT_ERROR_SAYS(open_arrow_rows("some/folder", "train"),
                    "some/folder: is a folder; reading an Arrow data set needs libarrow");
  EXPECT_ERROR_SAYS(open_arrow_source("x.parquet", {}), "x.parquet: is Parquet; reading it needs libarrow");
  EXPECT_ERROR_SAYS(open_arrow_ids("x.parquet", "train", "text", 9),
                    "x.parquet: is Parquet; reading it needs libarrow");
}

}  // namespace
}  // namespace hici::data
