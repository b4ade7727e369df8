# SPDX-License-Identifier: Apache-2.0
set(HICI_TEXT_SUMMARY "off")
