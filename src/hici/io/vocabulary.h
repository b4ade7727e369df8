// SPDX-License-Identifier: Apache-2.0
// One rule for the size of the vocabulary: a model has the rows that its config says. Only an adapter with more rows
// than its base (the research code's [PAD], 32001), or --add_pad_token, extends the base, and a line says so.
#pragma once

#include "hici/io/adapter.h"
#include "hici/io/model_directory.h"

namespace hici::io {

// Makes base and adapter agree on embedding and head, before the one is compared with the other. An adapter with a head
// of its own on a tied base unties it, unless that head is the embedding (a full dump holds it twice): then it is left
// out. `adapter` may be null.
void resize_vocabulary(ModelDirectory& base, Adapter* adapter, bool add_pad_token);

}  // namespace hici::io
