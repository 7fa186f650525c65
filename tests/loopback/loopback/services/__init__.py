"""The services written here. Each module or package is one service and slots in by being here:

    NAME = "codebuild"                      the service's signing name, as ministack routes it
    handle_request                          see loopback.json_service
    reset()                                 forget everything
    AUTHORIZES = True                       optional: it asks IAM itself, see JsonService.authorizer
    wrap(app) -> app                        optional: an HTTP surface of its own, such as ECR's registry API

A service that ministack emulates well enough but for some checks offers `before(method, path, headers, body)` in
place of `handle_request`; an AwsError from it ends the call.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def discover() -> list[ModuleType]:
    return [importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
