// SPDX-License-Identifier: Apache-2.0
// manifest.json of a checkpoint.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/io/checkpoint/manifest.h"

namespace hici::fuzz {

void read_manifest(std::string_view bytes) {
  const io::CheckpointManifest manifest = io::parse_manifest(bytes, "manifest.json");
  require(io::parse_manifest(io::manifest_text(manifest), "manifest.json").files == manifest.files,
          "a manifest that changes when it is written");
}

std::vector<std::string> manifest_seeds() {
  return {io::manifest_text({.step = 12,
                             .files = {{.name = "a.safetensors", .size_bytes = 5, .sha256 = std::string(64, 'a')},
                                       {.name = "state.json", .size_bytes = 7, .sha256 = std::string(64, '0')}}})};
}

}  // namespace hici::fuzz
