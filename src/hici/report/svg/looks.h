// SPDX-License-Identifier: Apache-2.0
// Which colour, marker and dashes belong to whom on a page: a model or run has one colour in all figures.
#pragma once

#include "hici/report/report_data.h"
#include "hici/report/svg/plot.h"

#include <map>
#include <string>
#include <vector>

namespace hici::report {

class Looks {
 public:
  // Models in the order of their results, then runs. A run that is called like a model is that model.
  explicit Looks(const ReportData& data);

  // Of a model under one kind of attention: each kind has dashes of its own. Or of a run.
  Look of(const std::string& name, const std::string& attention = "") const;
  // The second line of a run: the rate of its HiCI parameters.
  Look second_of(const std::string& run) const;

 private:
  void add(const std::string& name, const std::string& attention);

  struct Owner {
    size_t number = 0;
    std::vector<std::string> attentions = {};
  };
  std::map<std::string, Owner> owners_;
};

}  // namespace hici::report
