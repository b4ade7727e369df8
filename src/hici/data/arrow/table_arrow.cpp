// SPDX-License-Identifier: Apache-2.0
// The plug-in's table; a part of libhici_arrow_VERSION.so alone.
#include "hici/data/arrow/plugin.h"

const hici::data::ArrowPlugin* hici_arrow_plugin() {
  static const hici::data::ArrowPlugin plugin{HICI_VERSION, hici::data::open_source_files, hici::data::open_rows_files,
                                              hici::data::open_ids_files};
  return &plugin;
}
