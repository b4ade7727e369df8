# SPDX-License-Identifier: Apache-2.0
from hici_cpp import main

main()
