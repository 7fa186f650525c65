# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: With C(--check) the module reports what it would change, and changes nothing.
  diff_mode:
    description: With C(--diff) the module shows what it changed, or in check mode would change, item by item.
  idempotent:
    description: A second run with the same options, on a registry that nobody else touched, reports no change.
  action_group:
    description:
      - Use C(group/stevedore.ecr.all) in C(module_defaults) to set region, credentials and the like for all modules.
    support: full
    membership:
      - stevedore.ecr.all
"""
