"""Gives a module its arguments in this process, on every ansible-core that the collection supports."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:  # ansible-core 2.17 and 2.18
    patch_module_args = None


@contextlib.contextmanager
def module_arguments(given: Mapping[str, Any]) -> Iterator[None]:
    if patch_module_args is None:
        arguments = json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode()
        with mock.patch("ansible.module_utils.basic._ANSIBLE_ARGS", arguments):
            yield
        return
    with (
        patch_module_args(given),
        # A test of a filter has made this process a controller, where modules would show their warnings themselves.
        mock.patch("ansible.module_utils._internal.is_controller", False),
    ):
        yield
