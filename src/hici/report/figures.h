// SPDX-License-Identifier: Apache-2.0
// The plots of a report, from its data: which series, which scales, how smoothed.
#pragma once

#include "hici/report/svg/looks.h"
#include "hici/report/svg/plot.h"
#include "hici/report/tables/table.h"

#include <string>
#include <vector>

namespace hici::report {

// Loss against step: raw values faintly, a moving mean over them. Logarithmic where the losses span more than a factor
// of five.
Plot loss_plot(const std::vector<TrainingRun>& runs, const Looks& looks);
// Learning rates against step; that of the HiCI parameters as a line of its own where there are some and it differs.
Plot learning_rate_plot(const std::vector<TrainingRun>& runs, const Looks& looks);
Plot speed_plot(const std::vector<TrainingRun>& runs, const Looks& looks);
// Perplexity against context, both logarithmic, one series for each row of perplexity_table().
Plot perplexity_plot(const std::vector<PerplexityResult>& results, const Looks& looks);
// The mean share over the heads of a layer, against the layer, one series for each model.
Plot attention_plot(const std::vector<AttentionResult>& results, AttentionResult::Shares AttentionResult::* shares,
                    const char* what, const Looks& looks);

// Mean over about a thirtieth of the points around each one. At the start, where losses fall fast, over as few before
// as after, so that the line is not shifted; gaps stay gaps.
std::vector<Point> smoothed(const std::vector<Point>& points);

// At most `max_points` points with the same outline: of each stretch the lowest and the highest.
std::vector<Point> thinned(const std::vector<Point>& points, size_t max_points);

// What the rows of a table of models and attentions are called in a plot: the model, with "..., full attention" where
// two rows share a model.
std::vector<std::string> row_names(const Table& table);

}  // namespace hici::report
