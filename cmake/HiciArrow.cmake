# SPDX-License-Identifier: Apache-2.0
set(HICI_ARROW_SUMMARY "off")
