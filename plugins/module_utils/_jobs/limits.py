# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What AWS takes for numbers that jobs of every kind have.

Private to this collection: may change in any release.
"""

from __future__ import annotations

# An alarm looks back a week at most.
ALARM_HOURS = range(169)
# Those that Amazon CloudWatch Logs knows, in days: its models do not list them.
RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
