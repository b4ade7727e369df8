// SPDX-License-Identifier: Apache-2.0
// The rule for the size of the vocabulary: a model has the number of rows in its config. Only an adapter with more rows
// than its base (the research code's [PAD], 32001) or --add_pad_token extends the base, and a line says so.
#pragma once

#include "hici/io/adapter.h"
#include "hici/io/model_directory.h"

namespace hici::io {

// Makes the shapes of embedding and head equal in base and adapter, before they are compared. An adapter with its own
// head on a tied base unties the base. If that head equals the embedding (a full dump holds it twice), it is left out
// instead. `adapter` may be null.
void resize_vocabulary(ModelDirectory& base, Adapter* adapter, bool add_pad_token);

}  // namespace hici::io
