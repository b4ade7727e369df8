// SPDX-License-Identifier: Apache-2.0
// Included by c10d's ProcessGroupGloo.hpp, which uses nothing of it.
#pragma once
