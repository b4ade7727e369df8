// SPDX-License-Identifier: Apache-2.0
//! One kind of request: JSON to a server, text back.

use crate::ffi::Result;
use std::time::Duration;
use ureq::tls::{RootCerts, TlsConfig};

/// Of an answer; a chat server sends some hundred bytes.
const MAX_ANSWER_BYTES: u64 = 4 << 20;

pub struct Answer {
    pub status: u16,
    pub body: String,
    /// What the server asks for in `Retry-After`, when it is a number of seconds.
    pub retry_after: Option<f64>,
}

/// Any status is an answer; an error is that none came. `bearer` may be empty. It goes to this server only: redirects are
/// not followed.
pub fn post_json(url: &str, bearer: &str, body: &str, timeout: Duration) -> Result<Answer> {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent("hici")
        .build();
    let mut request = ureq::Agent::new_with_config(config).post(url).header("Content-Type", "application/json");
    if !bearer.is_empty() {
        request = request.header("Authorization", format!("Bearer {bearer}"));
    }
    let mut response = request.send(body).map_err(|e| e.to_string())?;
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let bytes = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec().map_err(|e| e.to_string())?;
    Ok(Answer {
        status: response.status().as_u16(),
        body: String::from_utf8_lossy(&bytes).into_owned(),
        retry_after: retry_after.filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0),
    })
}
