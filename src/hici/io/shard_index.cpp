// SPDX-License-Identifier: Apache-2.0
#include "hici/io/shard_index.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"

namespace hici::io {

ShardIndex parse_shard_index(const nlohmann::json& json, const std::string& subject) {
  const JsonObject map = JsonObject(json, subject).object("weight_map");
  HICI_CHECK(!map.value().empty(), subject, ": weight_map is empty; fetch the file again");
  ShardIndex out;
  for (const auto& [name, ignored] : map.value().items()) {
    const std::string shard = map.string(name);
    HICI_CHECK(is_plain_name(shard), subject, ": names shard '", printable(shard),
               "'; expected the plain name of a file in the same folder");
    out.emplace(name, shard);
  }
  return out;
}

}  // namespace hici::io
