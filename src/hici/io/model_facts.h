// SPDX-License-Identifier: Apache-2.0
// What must be the same in all processes of a run that works on one model.
#pragma once

#include "hici/io/checkpoint/model_identity.h"
#include "hici/parallel/world.h"

#include <string>

namespace hici::io {

// For parallel::check_same(): `data`, and the files of the model.
parallel::Facts facts_of_run(const parallel::Facts& data, const ModelIdentity& model);

}  // namespace hici::io
