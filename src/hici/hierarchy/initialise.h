// SPDX-License-Identifier: Apache-2.0
// Initial values of the HiCI modules, by the distributions that training starts from (init_hici() of the reference).
// The parameters must be materialised.
#pragma once

#include "hici/hierarchy/global_integrator.h"
#include "hici/hierarchy/local_constructor.h"

namespace hici::hierarchy {

void initialise(LocalConstructor& local, at::Generator& generator);
// embedding [V, C] gives the first global queries.
void initialise(GlobalIntegrator& integrator, const at::Tensor& embedding, at::Generator& generator);

}  // namespace hici::hierarchy
