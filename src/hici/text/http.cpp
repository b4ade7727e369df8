// SPDX-License-Identifier: Apache-2.0
#include "hici/text/http.h"

#include "hici/text/rust_bridge.h"

namespace hici::text {

HttpAnswer post_json(const HttpRequest& request) {
  HttpAnswer answer;
  double retry_after = -1;
  crate::Bytes body;
  crate::ErrorText error;
  const bool answered = hici_http_post_json(crate::view(request.url), crate::view(request.bearer),
                                            crate::view(request.body), static_cast<uint64_t>(request.timeout.count()),
                                            &answer.status, &retry_after, body.out(), error.out());
  answer.body = answered ? body.text() : error.text();
  if (!answered) answer.status = 0;
  if (answered && retry_after >= 0) answer.retry_after_seconds = retry_after;
  return answer;
}

}  // namespace hici::text
